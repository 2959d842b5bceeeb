"""Which precision and memory layout make a training step fast here? Decides the defaults of
`pipelines/engine/launch.py`.

    .venv/bin/python benchmarks/training_step.py [--device cuda] [--rounds 10]

All variants take turns, one step each per round, so that whatever else the machine does falls on all of them alike.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from pipelines.engine.launch import Machine, choose_machine, describe_machine
from pipelines.engine.loop import PerformedUpdate
from segment.batches import LabelledBatch
from segment.methods.method import Method
from segment.methods.segmenter_training import SegmenterTrainingSettings
from segment.methods.supervised import Supervised
from segment.networks import NETWORKS
from translate.methods.batches import UnpairedBatch
from translate.methods.cyclegan import CycleGAN, CycleGANSettings

WARM_UP = 2
"""First rounds, which do not count."""


def segmenter(device: torch.device) -> tuple[Method, LabelledBatch]:
    """DDRNet-23-slim, batch 8 of 256x128."""
    method = Supervised(NETWORKS["ddrnet23_slim"](), SegmenterTrainingSettings(loss="cross_entropy"))
    batch = LabelledBatch(torch.rand(8, 3, 128, 256), torch.randint(0, 19, (8, 128, 256)))
    return method.to(device).train(), batch.to(device)


def translator(device: torch.device) -> tuple[Method, UnpairedBatch]:
    """CycleGAN with ResNet-6 of 16 channels, batch 1 of 128x128."""
    method = CycleGAN(
        CycleGANSettings(steps=1000, generator="resnet6", generator_channels=16, discriminator_channels=32)
    )
    return method.to(device).train(), UnpairedBatch(torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)).to(device)


def stepper(make: Callable, machine: Machine, layout: torch.memory_format) -> Callable[[], float]:
    """A function that takes one step and returns its seconds."""
    method, batch = make(machine.device)
    method.to(memory_format=layout)

    update = PerformedUpdate(method.optimizers(), step=0)

    def step() -> float:
        start = time.perf_counter()
        with machine.autocast():
            method.step(batch, update)
        if machine.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    return step


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=10)
    arguments = parser.parse_args()
    layouts = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
    print(describe_machine(choose_machine(arguments.device)), f"torch {torch.__version__}")
    for name, make in (("segmenter", segmenter), ("translator", translator)):
        variants = {
            (precision, layout): stepper(make, choose_machine(arguments.device, precision), layouts[layout])
            for precision in ("fp32", "bf16")
            for layout in layouts
        }
        seconds = {variant: [] for variant in variants}
        for _ in range(WARM_UP + arguments.rounds):
            for variant, step in variants.items():
                seconds[variant].append(step())
        for variant, values in seconds.items():
            timed = values[WARM_UP:]
            print(f"{name:<11} {' '.join(variant):<20} median {statistics.median(timed):.3f} s, min {min(timed):.3f} s")


if __name__ == "__main__":
    main()
