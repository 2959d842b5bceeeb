"""Does training wait for data? Share of the time of a step that goes by until its batch is there.

    .venv/bin/python benchmarks/input_pipeline.py [--device cuda] [--workers 2] [--batch 8] [--steps 30] [--threads 2]

Frames are PNG files of 1024x512, drawn into a temporary folder and decoded anew each time (`--kept` would hold them in
memory, as training does with the first GiB). They become crops of 512x256 for a step of DDRNet-23-slim. Three
augmentations: the default one, all that there is on the workers, and the same on the device. The CPU time of making a
batch and of a step are told beside the share, since they do not depend on what else the machine does.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from pipelines.data.frames import open_frame_set
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.sampling.batches import Draws, FramePool
from pipelines.data.sampling.labelled_batches import LabelledBatches, Mixture
from pipelines.data.sampling.workers import stream
from pipelines.engine.launch import Machine, choose_machine, describe_machine, use_threads
from pipelines.engine.loop import PerformedUpdate
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.stages.training.segmenter_batches import augmentation_in_workers, augmentation_on_device
from segment.methods.segmenter_training import SegmenterTrainingSettings
from segment.methods.supervised import Supervised
from segment.networks import NETWORKS

WARM_UP = 3
"""First steps, which do not count: the workers start in them."""
MEASURED_BATCHES = 3
CAMERA = {name: 0.5 for name in ("gamma", "grey", "blur", "noise", "jpeg", "style_from_target")}
AUGMENTATIONS = {
    "default": {},
    "all on workers": CAMERA,
    "all on device": CAMERA | {"augment_on": "device"},
}


def frames(folder: Path, renderer: str, number: int, kept: int) -> FramePool:
    """The drawn frames, 1024x512."""
    settings = ToyWorldSettings(reader="toyworld", renderer=renderer, frames=number, size=(1024, 512))
    settings.draw(folder)
    return FramePool([open_frame_set(settings, folder)], 512, kept)


def waiting(
    settings: SegmenterSettings, pools: dict[str, FramePool], machine: Machine, workers: int, steps: int
) -> str:
    """Seconds in all, seconds waited for data, and seconds of CPU time for the batch and for the step, in words."""
    batches = LabelledBatches(
        {"source": pools["source"]},
        Mixture({"source": 1.0}),
        Draws(0, settings.batch),
        augmentation_in_workers(settings),
        style=pools["target"] if settings.style_from_target else None,
        style_in_batch=settings.augment_on == "device",
    )
    method = Supervised(
        NETWORKS[settings.network](),
        SegmenterTrainingSettings(),
        augmentation=augmentation_on_device(settings),
    )
    method.to(machine.device, memory_format=method.memory_format(machine.device)).train()
    update = PerformedUpdate(method.optimizers(), step=0)
    begun = time.process_time()
    for step in range(MEASURED_BATCHES):
        batches(step)
    making = (time.process_time() - begun) / MEASURED_BATCHES
    waited = 0.0
    with contextlib.closing(stream(batches, 0, WARM_UP + steps, workers)) as made:
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                waited, begun, begun_cpu = 0.0, time.perf_counter(), time.process_time()
            start = time.perf_counter()
            batch = next(made)
            waited += time.perf_counter() - start
            with machine.autocast():
                method.step(batch.to(machine.device), update)
            if machine.device.type == "cuda":
                torch.cuda.synchronize()
        total, taking = time.perf_counter() - begun, (time.process_time() - begun_cpu) / steps
    return (
        f"{1000 * total / steps:6.0f} ms a step of {settings.batch} frames, {1000 * waited / steps:6.1f} ms of it "
        f"waiting for data: {waited / total:5.1%}; CPU time {1000 * making:.0f} ms a batch, "
        f"{1000 * taking:.0f} ms a step"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--threads", type=int, default=None, help="of the training step")
    parser.add_argument("--kept", type=int, default=0, help="bytes of frames to keep in memory")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    machine = choose_machine(arguments.device)
    print(describe_machine(machine), f"torch {torch.__version__}, {arguments.workers} workers")
    with tempfile.TemporaryDirectory() as folder:
        pools = {
            name: frames(Path(folder), renderer, arguments.frames, arguments.kept)
            for name, renderer in (("source", "game"), ("target", "camera"))
        }
        for name, changes in AUGMENTATIONS.items():
            settings = SegmenterSettings(height=256, crop=(512, 256), batch=arguments.batch, **changes)
            print(f"{name:<15}", waiting(settings, pools, machine, arguments.workers, arguments.steps), flush=True)


if __name__ == "__main__":
    main()
