"""How long does a live frame take through a light generator, and how much memory, from 640x360 up to 4K?

    .venv/bin/python benchmarks/live_frames.py [--networks unet_light:64 pyramid:64] [--sizes 640x360 1280x720]
        [--memory 3840x2160] [--tile 1024] [--repeats 3] [--json FILE]

What `open_translator` and `sim2real translate stream` do with a frame: uint8 to the generator in the exact mode and
back to uint8; no file is read or written. Weights are fresh. Every row has a process of its own, so that its peak of
memory is its own: the resident one, Python and libraries included, or what torch has allocated of a GPU; "for the
frame" is by how much that is above the peak that importing and building the network had left. Memory is looked at in
one pass over one frame, whole and by tiles, latency in `--repeats` passes after one to warm up: the fastest one's wall
time and CPU time, which other work on the machine hardly changes.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch

from pipelines.data.images import to_image
from pipelines.engine.launch import Machine, choose_machine, describe_machine
from pipelines.runtimes.acceleration import keep_freed_memory
from pipelines.runtimes.frame_translation import FrameTranslator, open_translation
from translate.networks import GENERATORS
from translate.translator import ImageTranslator


def drawn_frame(width: int, height: int) -> np.ndarray:
    """uint8 (height, width, 3), smooth with a little noise."""
    random = np.random.default_rng(0)
    ramp = np.add.outer(np.linspace(0, 120, height), np.linspace(0, 120, width))[..., None]
    return (ramp + random.integers(0, 16, (height, width, 3))).astype(np.uint8)


def opened(network: str, machine: Machine, tile: int | None) -> FrameTranslator:
    """A generator called "unet_light:64", with fresh weights, ready for frames."""
    name, channels = network.split(":")
    torch.manual_seed(0)
    generator = GENERATORS[name](base_channels=int(channels)).eval().requires_grad_(False)
    translator = ImageTranslator({"source_to_target": generator}).to(machine.device).eval()
    device = "cpu" if tile is not None else str(machine.device)
    return FrameTranslator(open_translation(translator, machine, tile=tile), device=device)


def peak_memory_mb(device: torch.device) -> float:
    """The most memory that this process has had in use: of the GPU, or resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(
    network: str, size: str, device: str, threads: int, warmup: int, repeats: int, tile: int | None = None
) -> dict[str, Any]:
    """One row; in a process of its own, or the peak is that of all that went before."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    width, height = map(int, size.split("x"))
    machine, frame = choose_machine(device), drawn_frame(width, height)
    translator = opened(network, machine, tile)
    before, wall, cpu = peak_memory_mb(machine.device), [], []
    for index in range(warmup + repeats):
        start, spent = time.perf_counter(), time.process_time()
        to_image(translator.translated([frame])[0])
        if index >= warmup:
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - spent)
    peak = peak_memory_mb(machine.device)
    return {
        "network": network, "size": size, "tile": tile, "wall_ms": 1000 * min(wall), "cpu_ms": 1000 * min(cpu),
        "peak_mb": peak, "frame_mb": peak - before,
    }  # fmt: skip


def serve(pipe: Connection, arguments: dict[str, Any]) -> None:
    """The process of a row."""
    pipe.send(measure(**arguments))


def row(**arguments: Any) -> dict[str, Any]:
    """`measure` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs, arguments), daemon=True)
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def line(found: dict[str, Any]) -> str:
    """A row of the table."""
    way = "whole" if found["tile"] is None else f"tiles of {found['tile']}"
    return (
        f"{found['network']:<16} {found['size']:<10} {way:<14} {found['wall_ms']:8.0f} {found['cpu_ms']:8.0f} "
        f"{found['peak_mb']:8.0f} {found['frame_mb']:13.0f}"
    )


def main() -> None:
    """Measure and print, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["unet_light:64", "unet_light:32", "pyramid:64"])
    parser.add_argument("--sizes", nargs="*", default=["640x360", "1280x720", "1920x1080"], help="Latency.")
    parser.add_argument("--memory", nargs="*", default=["3840x2160"], help="Memory, whole and by tiles.")
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    arguments = parser.parse_args()
    machine = f"{describe_machine(choose_machine(arguments.device))}, torch {torch.__version__}"
    print(
        f"{machine}\n\n{'network':<16} {'size':<10} {'':<14} {'wall ms':>8} {'CPU ms':>8} {'peak MB':>8} for the frame"
    )
    common = {"device": arguments.device, "threads": arguments.threads}
    asked = [
        {"network": network, "size": size, "warmup": 1, "repeats": arguments.repeats}
        for network in arguments.networks
        for size in arguments.sizes
    ]
    asked += [
        {"network": network, "size": size, "warmup": 0, "repeats": 1, "tile": tile}
        for network in arguments.networks
        for size in arguments.memory
        for tile in (None, arguments.tile)
    ]
    rows = []
    for one in asked:
        rows.append(row(**common, **one))
        print(line(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
