"""Is any mode of ours slower than plain torch, on this processor and on one that has AVX2 alone?

    .venv/bin/python benchmarks/every_machine.py [--rounds 5] [--threads 1] [--bf16]

Translator (ResNet-9 of 64 channels, 256x128), segmenter (DDRNet-23-slim, 1024x512, to a label map) and a training step
of CycleGAN (64 channels, 64x64) against the same written plainly of torch's own layers. One child process for each kind
of machine, because the variables that forbid instructions are read once; in it the variants take turns, so that other
work on the machine falls on all alike. Ratios are of CPU time, which other work disturbs least.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks.translator_step import our_step, reference_step
from pipelines.engine.capabilities import capabilities
from pipelines.engine.launch import choose_machine, processor_name
from pipelines.runtimes.acceleration import accelerated, keep_freed_memory
from pipelines.runtimes.segmenter_runtime import open_runtime
from segment.networks import NETWORKS
from translate.networks import GENERATORS

MACHINES = {"native": {}, "AVX2 alone": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}}
SLOWER = 1.03
"""A mode is slower from this multiple of plain torch's time on; below, it is noise."""


def variants(bf16: bool) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed: family -> name -> a call. "plain" comes first; `bf16` adds bf16 where it does not pay."""
    torch.manual_seed(0)
    machine = choose_machine("cpu")
    fast = machine.bf16_pays
    generator = GENERATORS["resnet9"](base_channels=64).eval().requires_grad_(False)
    image = torch.rand(1, 3, 128, 256) * 2 - 1
    ways = {
        "plain": generator,
        "exact (the default)": accelerated(generator),
        "OpenVINO": accelerated(generator, "exact", "openvino"),
        **({"bf16 (--fast)" if fast else "bf16, by name": accelerated(generator, "fast")} if fast or bf16 else {}),
    }
    translator = {name: (lambda network=network: network(image)) for name, network in ways.items()}

    network = NETWORKS["ddrnet23_slim"](auxiliary=False).eval().requires_grad_(False)
    frame, size = torch.rand(1, 3, 512, 1024), (512, 1024)
    opened = {
        "exact, torch": open_runtime(network, "torch", "exact", machine),
        "exact, OpenVINO (the default)": open_runtime(network, "openvino", "exact", machine),
    }
    if fast or bf16:
        opened["bf16, torch (--fast)" if fast else "bf16, torch, by name"] = open_runtime(
            network, "torch", "fast", machine
        )
    segmenter = {"plain": lambda: network(frame).argmax(1)} | {
        name: (lambda runtime=runtime: runtime.label_map(frame, size)) for name, runtime in opened.items()
    }

    source, target = (torch.rand(1, 3, 64, 64) * 2 - 1 for _ in range(2))
    precision = machine.for_training().precision
    steps = {
        "plain": reference_step(64, machine.device),
        f"ours, {precision} (auto)": our_step(64, machine.device, precision),
    }
    if bf16 and precision != "bf16":
        steps["ours, bf16, by name"] = our_step(64, machine.device, "bf16")
    training = {name: (lambda step=step: step(source, target)) for name, step in steps.items()}
    return {"translator": translator, "segmenter": segmenter, "training": training}


def measure(rounds: int, threads: int, bf16: bool) -> list[dict[str, str | float]]:
    """A row for each variant: medians of wall and CPU time over threads, in milliseconds, and the ratio to plain."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    rows = []
    for family, calls in variants(bf16).items():
        wall, cpu = ({name: [] for name in calls} for _ in range(2))
        for _ in range(rounds + 1):
            for name, call in calls.items():
                with torch.inference_mode(family != "training"):
                    walls, cpus = time.perf_counter(), time.process_time()
                    call()
                    cpu[name].append((time.process_time() - cpus) * 1e3 / threads)
                    wall[name].append((time.perf_counter() - walls) * 1e3)
        medians = {name: statistics.median(values[1:]) for name, values in cpu.items()}  # the first round warms up
        rows += [
            {
                "family": family, "name": name, "wall": statistics.median(wall[name][1:]), "cpu": medians[name],
                "ratio": medians["plain"] / medians[name],
            }
            for name in calls
        ]  # fmt: skip
    return rows


def main() -> None:
    """Measure in child processes, or be one; print a table of Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="also where it does not pay")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        rows = measure(arguments.rounds, arguments.threads, arguments.bf16)
        print(json.dumps({"rows": rows, "instructions": str(capabilities())}))
        return
    print(f"{processor_name()} ({capabilities()}), {arguments.threads} threads, torch {torch.__version__}\n")
    print("| machine | | | wall ms | CPU ms | times as fast as plain |\n| --- | --- | --- | --- | --- | --- |")
    slower = []
    for machine, variables in MACHINES.items():
        ended = subprocess.run(
            [sys.executable, __file__, "--child", *sys.argv[1:]],
            env=os.environ | variables, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        found = json.loads(ended.stdout.splitlines()[-1])
        for row in found["rows"]:
            print(
                f"| {machine} ({found['instructions']}) | {row['family']} | {row['name']} | {row['wall']:.0f} "
                f"| {row['cpu']:.0f} | {row['ratio']:.2f} |",
                flush=True,
            )
            if row["ratio"] < 1 / SLOWER and "by name" not in row["name"]:
                slower.append(f"{machine}, {row['family']}: {row['name']}")
    print("\nslower than plain torch: " + ("; ".join(slower) or "none"))


if __name__ == "__main__":
    main()
