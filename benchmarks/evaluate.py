"""How long does evaluation take without the network: decode labels, instances and predictions, count, all figures?

    .venv/bin/python benchmarks/evaluate.py [--frames 500] [--workers 2] [--size 2048x1024] [--boundary]

Frames are drawn first: polygons with instances, and predictions whose outlines are moved and specked, so that the PNGs
are about as large as those of Cityscapes. Goal: 500 frames of 2048x1024 in less than 60 s on 2 cores.
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

# Before this folder, in which `evaluate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np

from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.images import encode_png
from pipelines.data.readers.cityscapes import CityscapesSettings
from pipelines.engine.launch import processor_name
from pipelines.stages.evaluation.evaluate import PLAIN
from pipelines.stages.evaluation.evaluate_predictions import evaluate_predictions
from pipelines.stages.evaluation.evaluation_counts import Measures

GOAL_FRAMES, GOAL_SECONDS = 500, 60
IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33, 0, 4)
WITH_INSTANCES = 24
DRAWN = 8
"""Different frames; more are copies under other names, which cost as much to read."""


def draw(random: np.random.Generator, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label ids uint8, instance ids uint16, and a prediction uint8, (height, width) each."""
    labels, instances = np.full((height, width), 11, np.uint8), np.full((height, width), 11, np.uint16)
    for number in range(160):
        label = int(random.choice(IDS))
        middle, spread = random.uniform(0, 1, 2) * (width, height), random.uniform(8, 160)
        corners = (middle + spread * random.normal(size=(7, 2))).astype(np.int32)
        cv2.fillPoly(labels, [corners], label)
        cv2.fillPoly(instances, [corners], label * 1000 + number if label >= WITH_INSTANCES else label)
    seen = np.roll(cv2.medianBlur(labels, 5), 4, axis=1)
    for _ in range(200):
        left, top = random.integers(0, width - 12), random.integers(0, height - 12)
        seen[top : top + 12, left : left + 12] = random.choice(IDS[:-2])
    return labels, instances, seen


def write_frames(root: Path, count: int, width: int, height: int) -> FrameSet:
    """A set in the layout of Cityscapes, predictions beside it in `results`."""
    random = np.random.default_rng(0)
    image = encode_png(np.zeros((height, width, 3), np.uint8))
    drawn = [[encode_png(values) for values in draw(random, width, height)] for _ in range(min(DRAWN, count))]
    for folder in ("leftImg8bit/val/drawn", "gtFine/val/drawn", "results"):
        (root / folder).mkdir(parents=True)
    for index in range(count):
        name = f"drawn_{index:06d}_000019"
        labels, instances, seen = drawn[index % DRAWN]
        (root / f"leftImg8bit/val/drawn/{name}_leftImg8bit.png").write_bytes(image)
        (root / f"gtFine/val/drawn/{name}_gtFine_labelIds.png").write_bytes(labels)
        (root / f"gtFine/val/drawn/{name}_gtFine_instanceIds.png").write_bytes(instances)
        (root / f"results/{name}.png").write_bytes(seen)
    kinds = zip(("labels", "instances", "predictions"), drawn[0], strict=True)
    print(", ".join(f"{name} {len(data) / 1000:.0f} kB" for name, data in kinds))
    return open_frame_set(CityscapesSettings(reader="cityscapes", root=str(root), split="val"), root)


def cpu_seconds() -> float:
    """CPU time in seconds of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Draw, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=GOAL_FRAMES)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", default="2048x1024")
    parser.add_argument("--boundary", action="store_true", help="boundary IoU, too, which is no default figure")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    measures = Measures(boundary=True) if options.boundary else PLAIN
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        frames = write_frames(root, options.frames, width, height)
        begun, used = time.perf_counter(), cpu_seconds()
        evaluation = evaluate_predictions(
            [frames], root / "results", "label_ids", root / "out", options.workers, measures
        )
        evaluation.summary()
        wall, used = time.perf_counter() - begun, cpu_seconds() - used
    rate = options.frames / wall
    print(
        f"{processor_name()}, {options.workers} workers: {options.frames} frames of {options.size} in {wall:.1f} s, "
        f"{rate:.1f} frames/s; {used / options.frames * 1000:.0f} ms of CPU time a frame"
    )
    verdict = "reached" if rate >= GOAL_FRAMES / GOAL_SECONDS else "missed"
    print(f"{GOAL_FRAMES} frames would take {GOAL_FRAMES / rate:.0f} s; goal {GOAL_SECONDS} s: {verdict}")


if __name__ == "__main__":
    main()
