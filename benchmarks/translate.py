"""How fast is a folder translated, decoding to encoded files, against the loop that published test scripts run?

    .venv/bin/python benchmarks/translate.py [--json FILE] [--frames 12] [--sizes 512x256 1024x512] [--long 500]
        [--students] [--variants exact fast]

The reference, written out below: Pillow decodes, the network runs in float32 as built, one image at a time, values are
truncated to bytes, Pillow encodes. Ours is `translate_frames` with the layers of `pipelines/runtimes/acceleration.py`.
Network: ResNet-9 of 64 channels, fresh weights; students (`--students`) have light ones, in the exact mode,
and the same reference. Every variant has a process of its own, so that allocator settings and peaks of memory are its
own; processes take turns, and the fastest round of each counts. Needs all cores to itself.
`--rounds 0 --long 500` measures nothing but the memory along 500 frames.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before this folder, in which `translate` would be this file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.work import JobControl
from pipelines.data.images import read_image, write_image
from pipelines.engine.launch import choose_machine, describe_machine
from pipelines.runtimes.acceleration import accelerated, keep_freed_memory
from pipelines.stages.translating.translate_frames import translate_frames
from translate.networks import GENERATORS
from translate.translator import translate_padded

TARGETS = {
    ("fast", "512x256"): 6.0, ("fast", "1024x512"): 5.0, ("exact", "512x256"): 1.5, ("exact", "1024x512"): 1.5,
    ("unet_light 64", "512x256"): 12.0, ("unet_light 64", "1024x512"): 20.0,
    ("unet_light 32", "1024x512"): 35.0, ("pyramid 64", "1024x512"): 35.0, ("pyramid 32", "1024x512"): 35.0,
}  # fmt: skip
MEAN_LEVELS = 1.5
POINTS = 10
"""At so many points of a long run its memory is looked at."""
DIFFERENT = 12
"""Frames drawn for a long run; the others are links to them."""
OURS = {
    "exact": {"mode": "exact", "runtime": "torch"},
    "fast": {"mode": "fast", "runtime": "torch"},
    "fast, compiled": {"mode": "fast", "runtime": "compile"},
    "fast, OpenVINO": {"mode": "fast", "runtime": "openvino"},
}
STUDENTS = {
    f"{network} {channels}": {"mode": "exact", "runtime": "torch", "network": network, "channels": channels}
    for network, channels in (("unet_light", 64), ("unet_light", 32), ("pyramid", 64), ("pyramid", 32))
}
"""Light generators at their widths."""


def generator(channels: int, network: str = "resnet9") -> nn.Module:
    """Fresh weights, the same in every process."""
    torch.manual_seed(0)
    return GENERATORS[network](base_channels=channels).eval().requires_grad_(False)


def reference_loop(source: Path, output: Path, channels: int, device: str) -> Callable[[], None]:
    """What published test scripts do, without their web page."""
    network = generator(channels).to(device)

    def translate_all() -> None:
        output.mkdir(exist_ok=True)
        for path in sorted(source.iterdir()):
            pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
            image = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device) / 127.5 - 1
            with torch.no_grad():
                translated = network(image)
            pixels = (translated[0].permute(1, 2, 0).cpu().float().numpy() + 1) / 2 * 255
            Image.fromarray(pixels.astype(np.uint8)).save(output / path.name)

    return translate_all


def our_loop(
    source: Path, output: Path, channels: int, device: str, mode: str, runtime: str, network: str = "resnet9"
) -> Callable[[], Any]:
    """The command's own stage with an accelerated network."""
    keep_freed_memory()
    quick = accelerated(generator(channels, network).to(device), mode, runtime)
    frames = plan_input(source, output)[0]

    def translate(image: Tensor) -> Tensor:
        return translate_padded(quick, image)

    def translate_all() -> list[tuple[int, float]]:
        resident: list[tuple[int, float]] = []

        def look(done: int, total: int) -> None:
            if done * POINTS // total > (done - 1) * POINTS // total:
                resident.append((done, resident_mb()))

        through, control = Network(translate, device=device), JobControl(progress=look)
        translate_frames(frames, output, through, {"checkpoint_sha256": "0" * 64}, control=control)
        return resident

    return translate_all


def resident_mb() -> float:
    """Memory of this process that is in use now; the peak so far where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def serve(pipe: Any, arguments: dict[str, Any]) -> None:
    """A process of one variant: prepares, warms up on a folder of two frames, and translates whenever told to."""
    torch.set_num_threads(arguments.pop("threads"))
    make, source, warm = arguments.pop("make"), arguments.pop("source"), arguments.pop("warm")
    folder = Path(tempfile.mkdtemp(dir=source.parent))
    start = time.perf_counter()
    make(warm, folder / "warm", **arguments)()
    pipe.send({"preparation_s": time.perf_counter() - start})
    while (round_ := pipe.recv()) is not None:
        translate_all = make(source, folder / f"round-{round_}", **arguments)
        start, before = time.perf_counter(), time.process_time()
        resident = translate_all()
        pipe.send(
            {
                "wall_s": time.perf_counter() - start,
                "cpu_s": time.process_time() - before,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "output": str(folder / f"round-{round_}"),
                "resident": resident,
            }
        )


class Variant:
    """A running process of one way to translate."""

    def __init__(self, **arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.preparation_s = self.pipe.recv()["preparation_s"]

    def run(self, round_: int) -> dict[str, Any]:
        self.pipe.send(round_)
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(None)
        self.process.join()


def draw_frames(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """PNG files as hard to encode as photographs: smooth shapes, edges and a little noise."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    width, height = size
    for index in range(count):
        coarse = Image.fromarray(random.integers(0, 256, (9, 16, 3), dtype=np.uint8)).resize(size, Image.BICUBIC)
        noise = random.normal(0, 3, (height, width, 3))
        write_image(folder / f"{index:04d}.png", (np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))
    return folder


def deviation(one: Path, other: Path) -> dict[str, float]:
    """Mean and largest absolute difference of the files of two folders, in levels of 255."""
    differences = [
        np.abs(read_image(path).astype(int) - read_image(other / path.name).astype(int))
        for path in sorted(one.glob("*.png"))
    ]
    return {
        "mean_levels": float(np.mean([difference.mean() for difference in differences])),
        "largest_level": int(max(difference.max() for difference in differences)),
    }


def measure(size: str, arguments: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All variants at one size, in turns; one row each, the reference first."""
    width, height = map(int, size.split("x"))
    source = draw_frames(folder / size / "frames", arguments.frames, (width, height))
    warm = draw_frames(folder / size / "warm", 2, (width, height))
    common = {"source": source, "warm": warm, "threads": arguments.threads}
    common |= {"channels": arguments.channels, "device": arguments.device}
    variants = {"reference": Variant(make=reference_loop, **common)}
    chosen = {name: OURS[name] for name in arguments.variants} | (STUDENTS if arguments.students else {})
    for name, own in chosen.items():
        variants[name] = Variant(make=our_loop, **common | own)
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in variants}
    for index in range(arguments.rounds):
        for name, variant in variants.items():
            rounds[name].append(variant.run(index))
    rows = [row_of(name, size, rounds, variants[name].preparation_s, arguments.frames) for name in variants]
    for variant in variants.values():
        variant.close()
    return rows


def row_of(
    name: str, size: str, rounds: dict[str, list[dict[str, Any]]], preparation_s: float, frames: int
) -> dict[str, Any]:
    """A variant's figures: the fastest round's time, the last round's memory and deviation from exact or reference."""
    wall = min(done["wall_s"] for done in rounds[name]) / frames
    cpu = min(done["cpu_s"] for done in rounds[name]) / frames
    reference_wall = min(done["wall_s"] for done in rounds["reference"]) / frames
    reference_cpu = min(done["cpu_s"] for done in rounds["reference"]) / frames
    row = {
        "size": size, "variant": name, "frames_per_s": 1 / wall, "wall_s": wall, "cpu_s": cpu,
        "median_wall_s": statistics.median(done["wall_s"] for done in rounds[name]) / frames,
        "speedup": reference_wall / wall, "cpu_speedup": reference_cpu / cpu,
        "peak_mb": rounds[name][-1]["peak_mb"], "preparation_s": preparation_s,
    }  # fmt: skip
    against = "exact" if "exact" in rounds else "reference"
    if name not in ("reference", against, *STUDENTS):  # these are other networks
        row |= deviation(Path(rounds[name][-1]["output"]), Path(rounds[against][-1]["output"]))
    return row


def memory_over(frames: int, arguments: argparse.Namespace, folder: Path) -> list[tuple[int, float]]:
    """Frames done and MB in use, at points along a run over `frames` frames: fast, at the first size."""
    size = tuple(map(int, arguments.sizes[0].split("x")))
    drawn = draw_frames(folder / "long" / "frames", min(frames, DIFFERENT), size)
    for number in range(DIFFERENT, frames):
        os.link(drawn / f"{number % DIFFERENT:04d}.png", drawn / f"{number:04d}.png")
    variant = Variant(
        make=our_loop, source=drawn, warm=draw_frames(folder / "long" / "warm", 2, size), threads=arguments.threads,
        channels=arguments.channels, device=arguments.device, **OURS["fast"],
    )  # fmt: skip
    resident = variant.run(0)["resident"]
    variant.close()
    return resident


def show_memory(resident: list[tuple[int, float]]) -> None:
    """The table of a long run."""
    print(f"\n{'frames done':>11} {'MB in use':>9}   fast")
    for done, megabytes in resident:
        print(f"{done:>11} {megabytes:9.0f}")


def show(rows: list[dict[str, Any]]) -> None:
    """The table, and what misses its target."""
    print(f"\n{'size':<10} {'variant':<16} {'frames/s':>8} {'wall s':>8} {'CPU s':>8} {'faster':>7} {'by CPU':>7} "
          f"{'peak MB':>8} {'mean level':>10} {'largest':>7}")  # fmt: skip
    for row in rows:
        mean = f"{row['mean_levels']:.3f}" if "mean_levels" in row else ""
        print(f"{row['size']:<10} {row['variant']:<16} {row['frames_per_s']:8.2f} {row['wall_s']:8.3f} "
              f"{row['cpu_s']:8.3f} {row['speedup']:6.2f}x {row['cpu_speedup']:6.2f}x {row['peak_mb']:8.0f} {mean:>10} "
              f"{row.get('largest_level', ''):>7}")  # fmt: skip
    for row in rows:
        target = TARGETS.get((row["variant"], row["size"]))
        if target is not None:
            verdict = "reached" if row["speedup"] >= target else "MISSED"
            print(f"{row['variant']} at {row['size']}: {row['speedup']:.2f}x, target {target}x {verdict}")
        if row["variant"].startswith("fast") and row["mean_levels"] > MEAN_LEVELS:
            print(
                f"{row['variant']} at {row['size']}: deviates by {row['mean_levels']:.2f} levels, MISSED {MEAN_LEVELS}"
            )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["512x256", "1024x512"])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="0: only what --long asks for.")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variants", nargs="*", choices=list(OURS), default=["exact", "fast"])
    parser.add_argument("--students", action="store_true", help="Also the light generators.")
    parser.add_argument("--long", type=int, default=0, help="Frames of the memory measurement; 0 leaves it out.")
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    machine = f"{describe_machine(choose_machine(arguments.device))}, torch {torch.__version__}, {platform.platform()}"
    print(machine)
    with tempfile.TemporaryDirectory() as folder:
        compared = arguments.sizes if arguments.rounds else []
        rows = [row for size in compared for row in measure(size, arguments, Path(folder))]
        memory = memory_over(arguments.long, arguments, Path(folder)) if arguments.long else None
    if rows:
        show(rows)
    if memory:
        show_memory(memory)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "memory": memory}, indent=1) + "\n")


if __name__ == "__main__":
    main()
