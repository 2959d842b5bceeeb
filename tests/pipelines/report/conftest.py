"""A made-up comparison with plausible numbers and small painted streets, for every test of the report."""

import numpy as np
import pytest

from pipelines.data.labels.label_formats import coloured
from pipelines.experiment.arms import COMPARED
from pipelines.report.pages.page import Gallery, PredictionPicture, Translation
from pipelines.report.study import ArmResult, FrameScore, NetworkFacts, Study
from segment.classes import CLASS_NAMES, IGNORE_INDEX

QUALITY = {"source_only": 0.55, "translated": 0.74, "oracle": 0.86}
CLASS_SIZES = [300, 70, 220, 0, 9, 12, 3, 6, 160, 0, 140, 14, 4, 60, 5, 4, 0, 0, 6]
VEHICLES = [13, 14, 15]


@pytest.fixture
def study():
    """Three arms, seeds 0 to 2, 24 frames; wall, terrain, train and motorcycle absent; car, truck and bus merged."""
    return Study(
        name="gta5-to-camvid",
        command="sim2real compare --config pipelines/configs/gta5_to_camvid.toml --data data --run runs/compare",
        date="2026-11-21",
        machine="Intel Xeon, 2 cores, 8 GB",
        versions={"sim2real": "0.1.0", "torch": "2.11.0", "python": "3.11.7"},
        settings={
            "name": "gta5-to-camvid",
            "steps": 4000,
            "method": {"cycle_weight": 10.0, "levels": [1, 2]},
            "nothing": {},
        },
        notes=["The toy world is no claim about real roads."],
        classes=list(CLASS_NAMES),
        groups=[VEHICLES],
        validation="CamVid val, 24 frames",
        results=[arm_result(arm, seed) for arm in COMPARED for seed in range(3)],
        network=NetworkFacts(
            parameters=5_695_272,
            gflops=12.3,
            input_size="480x360",
            latency_ms_p50=36.5,
            latency_ms_p90=41.2,
            frames_per_second=27.4,
            device="Intel Xeon, 2 threads, float32",
            name="DDRNet-23-slim",
            measurement="Single frames, 10 passes to warm up, 100 timed.",
        ),
    )


def arm_result(arm, seed):
    """A result whose IoU, confusion and mean agree with one another."""
    random = np.random.default_rng([seed, COMPARED.index(arm)])
    confusion = np.zeros((19, 20), np.int64)
    for true, size in enumerate(CLASS_SIZES):
        right = np.clip(QUALITY[arm] + random.normal(0, 0.02) - (0.25 if size < 20 else 0), 0, 1)
        confusion[true, true] = round(size * 1000 * right)
        shares = random.dirichlet(np.array(CLASS_SIZES) / 300 + 0.05) * (size * 1000 - confusion[true, true])
        confusion[true, :19] += shares.astype(np.int64)
    confusion[:, 19] = 40 * (np.array(CLASS_SIZES) > 0)
    iou = merged_iou(confusion)
    present = [value for value in iou if value is not None]
    mean = float(np.mean(present))
    return ArmResult(
        arm=arm,
        seed=seed,
        mean_iou=mean,
        mean_iou_16=mean + 0.01,
        mean_iou_13=None,
        interval=(mean - 0.021, mean + 0.019),
        pixel_accuracy=float(np.trace(confusion[:, :19]) / confusion.sum()),
        iou=iou,
        confusion=confusion.tolist(),
        frames=[FrameScore(f"0016E5_{7959 + 2 * i:05d}", mean + float(random.normal(0, 0.06))) for i in range(24)],
        curve=[(step, float(0.25 + 2.6 * np.exp(-step / 700) + random.normal(0, 0.08))) for step in range(0, 4000, 10)],
        training_seconds=754.0,
    )


def merged_iou(confusion):
    """IoU by train id with the vehicles scored as one, at the first of them; None where no pixel has the class."""
    iou = []
    for train_id in range(19):
        members = VEHICLES if train_id in VEHICLES else [train_id]
        labelled, seen = confusion[members].sum(), confusion[:, members].sum()
        hit = confusion[np.ix_(members, members)].sum()
        iou.append(None if not labelled or train_id in VEHICLES[1:] else float(hit / (labelled + seen - hit)))
    return iou


@pytest.fixture
def pictures():
    """Two translations, a best and a worst frame, and the losses of a translator."""
    losses = ("adversarial", "cycle", "identity", "discriminators")
    random = np.random.default_rng(3)
    return Gallery(
        translations=[Translation(street(i), street(i, 0.8), street(i + 7, 0.7), f"frames/{i:06d}") for i in range(2)],
        best=[prediction("0016E5_07959", 1)],
        worst=[prediction("0016E5_08001", 2)],
        translator_curve=[
            (step, {name: float(abs(random.normal(1, 0.1))) * (1 + i) for i, name in enumerate(losses)})
            for step in range(0, 2000, 50)
        ],
    )


def street_labels(seed, size=(240, 120)):
    """(H, W) train ids of a street: sky, buildings, road, a car and an unlabelled bonnet."""
    random = np.random.default_rng(seed)
    width, height = size
    labels = np.full((height, width), 10, np.uint8)
    x = 0
    while x < width:
        step = int(random.integers(20, 50))
        labels[int(random.integers(10, 45)) :, x : x + step] = random.choice([2, 8, 2])
        x += step
    labels[70:] = 1
    for y in range(70, height):
        spread = (y - 66) * 2.4
        labels[y, max(0, int(width / 2 - spread)) : int(width / 2 + spread)] = 0
    left = int(random.integers(60, 160))
    labels[62:82, left : left + 34] = 13
    labels[-6:] = IGNORE_INDEX
    return labels


def street(seed, brightness=1.0):
    """A photograph of sorts: the street in its class colours, with noise."""
    noise = np.random.default_rng(seed).normal(0, 12, (120, 240, 3))
    return np.clip(coloured(street_labels(seed)) * brightness + 30 + noise, 0, 255).astype(np.uint8)


def prediction(name, seed):
    """A frame with predictions that are wrong in more rows the worse the arm."""
    label = street_labels(seed)
    guess = np.where(label == IGNORE_INDEX, 0, label).astype(np.uint8)
    shifts = {"source_only": 9, "translated": 4, "oracle": 1}
    return PredictionPicture(
        name=name,
        image=street(seed),
        label=label,
        predictions={arm: np.roll(guess, shift, axis=1) for arm, shift in shifts.items()},
        scores={arm: 0.7 - shift / 20 for arm, shift in shifts.items()},
    )
