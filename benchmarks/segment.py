"""How fast is an image turned into a label map, against the two lines that published code has for it?

    .venv/bin/python benchmarks/segment.py [--json FILE] [--size 1024x512] [--frames 6] [--rounds 8]

The reference: `network(image).argmax(1)` in float32 as built, logits upsampled. Ours is `open_runtime` of
`pipelines/runtimes/segmenter_runtime.py`. Network: DDRNet-23-slim with fresh weights, on drawn surfaces with edges, of
which about a fifth of the blocks of 8x8 pixels lies on borders between classes. Every variant has a process of its own,
so that allocator settings and peaks of memory are its own. Processes take turns of `--frames` frames. Where other
programs compute too, wall time is theirs as well; CPU time over threads is what free cores would need, and the median
of that counts for the targets.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

# Threads that wait for each other sleep: spinning is CPU time that computes nothing. Read when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "0")
# Before this folder, in which `segment` would be this file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from pipelines.engine.launch import choose_machine, describe_machine
from pipelines.runtimes.acceleration import keep_freed_memory
from pipelines.runtimes.segmenter_runtime import open_runtime
from pipelines.stages.export.export_segmenter import street_like
from segment.networks import NETWORKS

TARGETS = {"fast": 2.0, "fast, OpenVINO": 3.5}
OURS = {
    "exact": ("torch", "exact"),
    "fast": ("torch", "fast"),
    "exact, OpenVINO": ("openvino", "exact"),
    "fast, OpenVINO": ("openvino", "fast"),
    "exact, onnxruntime": ("onnxruntime", "exact"),
    "exact, compiled": ("compile", "exact"),
    "fast, compiled": ("compile", "fast"),
}
SHOWN = ("exact", "fast", "exact, OpenVINO", "fast, OpenVINO")


def serve(pipe: Any, variant: str, network: str, size: tuple[int, int], device: str, threads: int, seed: int) -> None:
    """A process of one variant: prepares, warms up, and predicts whenever told how many frames."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    segmenter = NETWORKS[network](auxiliary=False).eval().requires_grad_(False)
    machine = choose_machine(device)
    image = street_like(1, 1, *size).to(machine.device)
    start = time.perf_counter()
    if variant == "reference":
        segmenter.to(machine.device)

        def predict() -> Tensor:
            with torch.no_grad():
                return segmenter(image).argmax(1)
    else:
        if machine.device.type == "cpu":
            keep_freed_memory()
        runtime = open_runtime(segmenter, *OURS[variant], machine)

        def predict() -> Tensor:
            return runtime.label_map(image, size)

    for _ in range(3):
        label_map = predict().cpu().to(torch.uint8)
    pipe.send({"label_map": label_map.numpy(), "preparation_s": time.perf_counter() - start})
    while frames := pipe.recv():
        synchronise(machine.device)
        start, before = time.perf_counter(), time.process_time()
        for _ in range(frames):
            predict()
        synchronise(machine.device)
        wall, cpu = time.perf_counter() - start, time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        pipe.send({"wall_s": wall / frames, "cpu_s": cpu / frames / threads, "peak_mb": peak})


def synchronise(device: torch.device) -> None:
    """Wait for queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


class Variant:
    """A running process of one way to predict."""

    def __init__(self, name: str, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, name, *arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.prepared = self.pipe.recv()
        self.rounds: list[dict[str, float]] = []

    def run(self, frames: int) -> None:
        self.pipe.send(frames)
        self.rounds.append(self.pipe.recv())

    def close(self) -> None:
        self.pipe.send(0)
        self.process.join()


def measure(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All variants in turns; one row each, the reference first."""
    width, height = map(int, arguments.size.split("x"))
    common = (arguments.network, (height, width), arguments.device, arguments.threads, arguments.seed)
    variants = [Variant(name, *common) for name in ("reference", *arguments.variants)]
    for _ in range(arguments.rounds):
        for variant in variants:
            variant.run(arguments.frames)
    rows = [row_of(variant, variants[0]) for variant in variants]
    for variant in variants:
        variant.close()
    return rows


def row_of(variant: Variant, reference: Variant) -> dict[str, Any]:
    """A variant's figures: medians over rounds, and the share of pixels with the reference's class."""
    cpu, cpu_of_reference = (statistics.median(done["cpu_s"] for done in one.rounds) for one in (variant, reference))
    wall, wall_of_reference = (statistics.median(done["wall_s"] for done in one.rounds) for one in (variant, reference))
    return {
        "variant": variant.name, "cpu_ms": 1000 * cpu, "wall_ms": 1000 * wall, "frames_per_s": 1 / wall,
        "cpu_speedup": cpu_of_reference / cpu, "speedup": wall_of_reference / wall,
        "agreement": float((variant.prepared["label_map"] == reference.prepared["label_map"]).mean()),
        "peak_mb": variant.rounds[-1]["peak_mb"], "preparation_s": variant.prepared["preparation_s"],
    }  # fmt: skip


def show(rows: list[dict[str, Any]], arguments: argparse.Namespace) -> None:
    """The table, and what misses its target."""
    print(f"\n{'variant':<20} {'CPU ms':>8} {'wall ms':>8} {'frames/s':>8} {'by CPU':>7} {'by wall':>7} {'agrees':>8} "
          f"{'peak MB':>8} {'ready s':>8}")  # fmt: skip
    for row in rows:
        print(f"{row['variant']:<20} {row['cpu_ms']:8.1f} {row['wall_ms']:8.1f} {row['frames_per_s']:8.1f} "
              f"{row['cpu_speedup']:6.2f}x {row['speedup']:6.2f}x {row['agreement']:8.3%} {row['peak_mb']:8.0f} "
              f"{row['preparation_s']:8.1f}")  # fmt: skip
    if (arguments.network, arguments.size, arguments.device) != ("ddrnet23_slim", "1024x512", "cpu"):
        return
    for row in rows:
        if (target := TARGETS.get(row["variant"])) is not None:
            verdict = "reached" if row["cpu_speedup"] >= target else "MISSED"
            print(f"{row['variant']}: {row['cpu_speedup']:.2f}x by CPU time, target {target}x {verdict}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=list(NETWORKS), default="ddrnet23_slim")
    parser.add_argument("--size", default="1024x512", help="WIDTHxHEIGHT")
    parser.add_argument("--frames", type=int, default=6, help="Frames of a turn.")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0, help="Of the weights.")
    parser.add_argument("--variants", nargs="*", choices=list(OURS), default=list(SHOWN))
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    machine = f"{describe_machine(choose_machine(arguments.device))}, torch {torch.__version__}, {platform.platform()}"
    print(f"{machine}\n{arguments.network} at {arguments.size}, image to label map, without decoding")
    rows = measure(arguments)
    show(rows, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
