"""From label map and prediction of a frame to its counts; in this process, or in several for predictions on disk.

What is counted is decided once for all frames (`Counted`), so that counts of two frames always fit together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.data.frames import FrameSet
from pipelines.data.labels.instances import instance_file, read_instance_map
from pipelines.data.labels.shared_classes import encodings_of, shared_classes
from pipelines.errors import UserError
from pipelines.stages.evaluation.scores import Evaluation
from segment.metrics.boundaries import CITYSCAPES_RATIO, GENERAL_RATIO, boundary_counts
from segment.metrics.calibration import Reliability
from segment.metrics.instances import instance_counts
from segment.metrics.merged_classes import merge_labels
from segment.metrics.regions import confusion_matrix


@dataclass(frozen=True)
class Measures:
    """What is measured beside the confusion matrix, because it takes time or the network itself."""

    boundary: bool = False
    calibration: bool = False

    def within(self, figures: dict) -> bool:
        """Whether the figures of a former evaluation hold all this."""
        return (not self.boundary or "boundary_iou" in figures) and (not self.calibration or "calibration" in figures)


@dataclass(frozen=True)
class Counted:
    """What is counted in every frame: see the attributes of `Evaluation` that have these names."""

    groups: list[list[int]]
    labelled_ids: list[int]
    instances: bool
    boundary_ratio: float | None


@dataclass(frozen=True)
class FrameCounts:
    """One frame's counts, as numpy arrays: tensors would take an open file each on their way from another process."""

    confusion: np.ndarray
    instances: np.ndarray | None
    boundaries: np.ndarray | None


def what_to_count(sets: Sequence[FrameSet], measures: Measures) -> Counted:
    """Decide by the labelled frames of sets that are scored together.

    Raises:
        UserError: See `scoring`.
    """
    groups, labelled_ids = scoring(sets)
    labels = [frame.label for frames in sets for frame in frames.frames if frame.label is not None]
    instances = not groups and all(instance_file(label) is not None for label in labels)
    fine = all(encoding.name.startswith("cityscapes") for encoding in encodings_of(sets))
    ratio = (CITYSCAPES_RATIO if fine else GENERAL_RATIO) if measures.boundary else None
    return Counted(groups, labelled_ids, instances, ratio)


def scoring(sets: Sequence[FrameSet]) -> tuple[list[list[int]], list[int]]:
    """Merged groups, and the train ids that the labels can express, of sets that are scored together.

    Raises:
        UserError: The sets merge classes differently, so that one matrix over all of them would mean nothing.
    """
    encodings = encodings_of(sets)
    if len({frozenset(encoding.merged) for encoding in encodings}) > 1:
        raise UserError(
            "validation sets with different class groups cannot be scored together; evaluate each by itself"
        )
    shared = shared_classes(encodings)
    return shared.groups, shared.labelled_ids


def count_frame(label_map: np.ndarray, prediction: np.ndarray, label: Path | None, counted: Counted) -> FrameCounts:
    """Count one frame.

    Args:
        label_map: uint8 (H, W) of train ids.
        prediction: uint8 (H, W).
        label: The label file, beside which the instance map lies.
        counted: What to count.

    Raises:
        ImageError: The instance map cannot be used.
    """
    truth, seen = torch.from_numpy(label_map), torch.from_numpy(prediction)
    instances = boundaries = None
    if counted.instances and label is not None and (path := instance_file(label)) is not None:
        things = torch.from_numpy(read_instance_map(path, label_map.shape))
        instances = instance_counts(things, seen).numpy()
    if counted.boundary_ratio is not None:
        pair = (merge_labels(one, counted.groups) for one in (truth, seen))
        boundaries = boundary_counts(*pair, counted.boundary_ratio).numpy()
    return FrameCounts(confusion_matrix(truth, seen).numpy(), instances, boundaries)


def labelled_drives(sets: Sequence[FrameSet]) -> list[str]:
    """The drive of each labelled frame, in order, as SET/DRIVE."""
    return [
        f"{frames.name}/{drive}"
        for frames in sets
        for frame, drive in zip(frames.frames, frames.drives, strict=True)
        if frame.label is not None
    ]


def gathered(
    names: list[str],
    drives: list[str],
    frames: Sequence[FrameCounts],
    counted: Counted,
    reliability: Reliability | None = None,
) -> Evaluation:
    """The evaluation that the counts of all frames, in the order of `names` and `drives`, make."""
    instances, boundaries = [one.instances for one in frames], [one.boundaries for one in frames]
    return Evaluation(
        names,
        torch.from_numpy(np.stack([one.confusion for one in frames])),
        counted.groups,
        counted.labelled_ids,
        torch.from_numpy(np.concatenate(instances)) if counted.instances else None,
        torch.from_numpy(np.stack(boundaries)) if counted.boundary_ratio is not None else None,
        counted.boundary_ratio,
        reliability,
        drives,
    )
