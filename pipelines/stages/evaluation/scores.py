"""What an evaluation found: whole-number counts per frame, every figure computed from them, and its files.

RUN/evaluation/evaluation.json         all figures, for people and programs
RUN/evaluation/confusions.json         the counts, from which `read_evaluation` makes them again
RUN/evaluation/frames.csv              a line per frame
RUN/evaluation/predictions/SET/NAME.png
RUN/evaluation/evaluation.html         the figures as a page, by `sim2real segment evaluate` alone
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.data.disk.files import write_atomically
from pipelines.data.disk.json_files import read_json, write_json
from pipelines.data.images import read_raw
from pipelines.errors import UserError
from pipelines.printable import printable
from segment.class_groups import class_titles, counted_once
from segment.classes import CATEGORIES, CLASS_NAMES, TRAIN_IDS_13, TRAIN_IDS_16
from segment.metrics.boundaries import boundary_iou
from segment.metrics.calibration import BINS, Reliability
from segment.metrics.instances import instance_iou, instance_iou_of_categories
from segment.metrics.merged_classes import merge_classes
from segment.metrics.regions import (
    accuracy_per_class,
    bootstrap_interval,
    count_groups,
    f1_per_class,
    frequency_weighted_iou,
    iou_per_class,
    mean_accuracy,
    mean_iou,
    pixel_accuracy,
    precision_per_class,
)
from segment.metrics.resampling import Units, units_of

ALL_CLASSES = range(len(CLASS_NAMES))
COUNTS = "confusions.json"
PAGE = "evaluation.html"


@dataclass(frozen=True)
class Evaluation:
    """Counts of one network on one set of frames.

    Args:
        names: Of the frames, in order.
        confusions: (N, 19, 20) int64; rows are true classes, the last column void predictions.
        groups: Train ids that the labels cannot tell apart; scored as one class.
        labelled_ids: Train ids that the labels can express; a prediction of any other is a miss, and no class of its
            own.
        instances: (M, 4) int64 as `instance_counts` returns, of all frames; None where some have no instance map.
        boundaries: (N, 19, 3) int64 as `boundary_counts` returns; None if not asked for.
        boundary_ratio: Width of the band that they were counted in.
        reliability: Of all frames; None if not asked for.
        drives: The drive of each frame; None where it is not known, then each frame is taken for one of its own.
    """

    names: list[str]
    confusions: torch.Tensor
    groups: list[list[int]]
    labelled_ids: list[int]
    instances: torch.Tensor | None = None
    boundaries: torch.Tensor | None = None
    boundary_ratio: float | None = None
    reliability: Reliability | None = None
    drives: list[str] | None = None

    @property
    def units(self) -> Units:
        """What intervals draw anew."""
        return units_of(self.names if self.drives is None else self.drives)

    @property
    def merged(self) -> torch.Tensor:
        """`confusions` with the groups counted as one class each."""
        return merge_classes(self.confusions, self.groups)

    def of_units(self) -> torch.Tensor:
        """`merged`, summed over the frames of each unit: what a bootstrap draws from."""
        return self.units.summed(self.merged)

    def scored(self, among: Sequence[int]) -> list[int]:
        """The train ids, of those given, that the mean is taken over: one per group, none the labels cannot express."""
        return counted_once((train_id for train_id in among if train_id in self.labelled_ids), self.groups)

    def title(self, train_id: int) -> str:
        """The name of a scored class, of all classes in its group."""
        return class_titles(self.groups)[train_id]

    def of_classes(self, values: torch.Tensor) -> list[float | None]:
        """A value per train id; None for a class that does not count."""
        scored = set(self.scored(ALL_CLASSES))
        return [_number(value) if i in scored else None for i, value in enumerate(values.tolist())]

    def iou(self) -> list[float | None]:
        """IoU per train id; None for a class that does not count."""
        return self.of_classes(iou_per_class(self.merged.sum(0)))

    def mean_iou(self, among: Sequence[int] = ALL_CLASSES) -> float:
        """Mean IoU over the classes of `among` that count."""
        return float(mean_iou(self.merged.sum(0), self.scored(among)))

    def synthia_mean_iou(self, among: Sequence[int]) -> float | None:
        """Mean IoU over SYNTHIA's 16 or 13 classes; None where the labels merge some of the 19.

        Both are protocols of labels that tell all of them apart.
        """
        return None if self.groups else _number(self.mean_iou(among))

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean IoU over `units`."""
        return bootstrap_interval(self.of_units(), seed=0, train_ids=self.scored(ALL_CLASSES))

    def frame_scores(self) -> list[float]:
        """Mean IoU of each frame over the classes in its labels."""
        return [
            float(mean_iou(confusion, [i for i in self.scored(ALL_CLASSES) if confusion[i].sum() > 0]))
            for confusion in self.merged
        ]

    def category_iou(self) -> dict[str, float | None]:
        """IoU of each category that the labels can express; none at all where one group of classes spans two of them.

        CamVid's bicyclists, for example, are human and vehicle.
        """
        spans = [sum(bool(set(group) & set(members)) for members in CATEGORIES.values()) for group in self.groups]
        if any(count > 1 for count in spans):
            return {}
        values = iou_per_class(count_groups(self.confusions.sum(0), list(CATEGORIES.values()))).tolist()
        return {
            name: _number(value)
            for (name, members), value in zip(CATEGORIES.items(), values, strict=True)
            if set(members) & set(self.labelled_ids)
        }

    def summary(self) -> dict[str, Any]:
        """All figures, JSON-like; a class or subset that does not count is null.

        "merged_classes", where labels merge some, tells of what classes the figures at a class's name are.
        """
        total = self.merged.sum(0)
        low, high = self.interval()
        figures = {
            "frames": len(self.names),
            "mean_iou": _number(self.mean_iou()),
            "mean_iou_16": self.synthia_mean_iou(TRAIN_IDS_16),
            "mean_iou_13": self.synthia_mean_iou(TRAIN_IDS_13),
            "interval_95": [_number(low), _number(high)],
            "interval_over": self.units.title,
            "pixel_accuracy": _number(float(pixel_accuracy(total))),
            "mean_accuracy": _number(float(mean_accuracy(total))),
            "frequency_weighted_iou": _number(float(frequency_weighted_iou(total))),
            "iou": self._named(iou_per_class(total)),
            "accuracy": self._named(accuracy_per_class(total)),
            "precision": self._named(precision_per_class(total)),
            "f1": self._named(f1_per_class(total)),
            "share_of_pixels": self._named(total.sum(1) / total.sum()),
        }
        if self.groups:  # whose figures stand at the name of their lowest
            figures["merged_classes"] = {
                CLASS_NAMES[min(group)]: [CLASS_NAMES[train_id] for train_id in sorted(group)] for group in self.groups
            }
        if categories := self.category_iou():
            figures["category_iou"] = {"categories": categories, "mean": _mean(categories.values())}
        return figures | self._optional_figures()

    def _optional_figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {}
        if self.instances is not None:
            total = self.confusions.sum(0)
            classes = self._named(instance_iou(total, self.instances))
            categories = {
                name: _number(value) for name, value in instance_iou_of_categories(total, self.instances).items()
            }
            figures["instance_iou"] = {
                "classes": classes,
                "mean": _mean(classes.values()),
                "categories": categories,
                "mean_of_categories": _mean(categories.values()),
            }
        if self.boundaries is not None:
            classes = self._named(boundary_iou(self.boundaries.sum(0)))
            figures["boundary_iou"] = {
                "ratio": self.boundary_ratio,
                "classes": classes,
                "mean": _mean(classes.values()),
            }
        if self.reliability is not None:
            figures["calibration"] = calibration_figures(self.reliability)
        return figures

    def _named(self, values: torch.Tensor) -> dict[str, float | None]:
        return dict(zip(CLASS_NAMES, self.of_classes(values), strict=True))


def calibration_figures(reliability: Reliability) -> dict[str, Any]:
    """Expected calibration error, the two losses, and the bins that a reliability diagram shows."""
    pixels = reliability.pixels.tolist()
    bins = [
        {
            "up_to": (place + 1) / BINS,
            "pixels": count,
            "confidence": _number(float(reliability.confidence[place]) / count) if count else None,
            "accuracy": int(reliability.right[place]) / count if count else None,
        }
        for place, count in enumerate(pixels)
    ]
    return {
        "expected_calibration_error": _number(reliability.calibration_error()),
        "negative_log_likelihood": _number(reliability.mean_negative_log_likelihood()),
        "brier_score": _number(reliability.brier_score()),
        "bins": bins,
    }


def _number(value: float) -> float | None:
    return value if value == value else None


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


# --- on disk ------------------------------------------------------------------------------------------


def write_evaluation(evaluation: Evaluation, output: Path, identity: dict[str, Any]) -> None:
    """Write figures, counts and the line per frame; `evaluation.json` last, for it says that the rest is there."""
    counts = {
        "names": evaluation.names,
        "confusions": evaluation.confusions.tolist(),
        "groups": evaluation.groups,
        "labelled_ids": evaluation.labelled_ids,
        "boundary_ratio": evaluation.boundary_ratio,
        "drives": evaluation.drives,
    }
    for name in ("instances", "boundaries"):
        values = getattr(evaluation, name)
        counts[name] = None if values is None else values.tolist()
    kept = evaluation.reliability
    counts["reliability"] = None if kept is None else {
        name: value.tolist() if isinstance(value, torch.Tensor) else value for name, value in asdict(kept).items()
    }  # fmt: skip
    # On one line: indented, the counts of 500 frames would take seconds to write.
    write_atomically(output / COUNTS, json.dumps(counts, sort_keys=True).encode())
    write_atomically(output / "frames.csv", printable(frames_csv(evaluation)).encode())
    write_json(output / "evaluation.json", {"identity": identity, **evaluation.summary()})


def read_evaluation(output: Path) -> Evaluation:
    """Read a finished evaluation back.

    Raises:
        UserError: Its counts are missing, or are none.
    """
    path = output / COUNTS
    if not path.exists():
        raise UserError(f"{path} is missing, and with it the counts behind the figures; evaluate again")
    try:
        return _evaluation_of(read_json(path))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise UserError(f"{path} holds no counts of an evaluation ({error!r}); remove it and evaluate again") from error


def _evaluation_of(counts: dict[str, Any]) -> Evaluation:
    instances, boundaries, kept = (counts.get(name) for name in ("instances", "boundaries", "reliability"))
    if kept is not None:
        sums = torch.tensor(kept.pop("confidence"), dtype=torch.float64)
        pixels, right = (torch.tensor(kept.pop(name), dtype=torch.int64) for name in ("pixels", "right"))
        kept = Reliability(pixels, right, sums, **kept)
    return Evaluation(
        counts["names"],
        torch.tensor(counts["confusions"], dtype=torch.int64),
        counts["groups"],
        counts["labelled_ids"],
        None if instances is None else torch.tensor(instances, dtype=torch.int64).reshape(-1, 4),
        None if boundaries is None else torch.tensor(boundaries, dtype=torch.int64),
        counts.get("boundary_ratio"),
        kept,
        counts.get("drives"),
    )


def frames_csv(evaluation: Evaluation) -> str:
    """A line per frame: its name, mean IoU over the classes it shows, pixel accuracy, and its worst class."""
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["frame", "mean_iou", "pixel_accuracy", "worst_class", "worst_iou", "valid_pixels"])
    scored = evaluation.scored(ALL_CLASSES)
    for name, score, confusion in zip(evaluation.names, evaluation.frame_scores(), evaluation.merged, strict=True):
        ious = iou_per_class(confusion)
        shown = [i for i in scored if confusion[i].sum() > 0]
        worst = min(shown, key=lambda i: float(ious[i]), default=None)
        table.writerow([
            name, _cell(score), _cell(float(pixel_accuracy(confusion))),
            "" if worst is None else evaluation.title(worst), "" if worst is None else _cell(float(ious[worst])),
            int(confusion.sum()),
        ])  # fmt: skip
    return lines.getvalue()


def _cell(value: float) -> str:
    return f"{value:.6f}" if value == value else ""


def prediction_path(output: Path, name: str) -> Path:
    """Where the predicted label map of a frame is kept."""
    return output / "predictions" / f"{name}.png"


def read_prediction(output: Path, name: str) -> np.ndarray:
    """The predicted label map of a frame, uint8 (H, W)."""
    return read_raw(prediction_path(output, name))
