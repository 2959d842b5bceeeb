"""Label consistency: does an expert still see in a translated frame what its carried label map says?

Unpaired translators are free to turn sky into trees when the target domain has more trees than the source. What such a
frame teaches a segmenter is wrong, and no image distance shows it; an expert's confusions do.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from segment.metrics.regions import mean_iou


class Flip(NamedTuple):
    """A class that the expert takes for another: shares of its pixels, in translated frames and in their sources."""

    label: int
    """Train id in the label maps."""
    seen_as: int
    """Train id that the expert sees."""
    translated: float
    source: float
    """NaN where the sources are not known."""

    @property
    def change(self) -> float:
        """What the translation added to the share; the rest is the expert's own mistake. All of it without sources."""
        return self.translated - (0.0 if math.isnan(self.source) else self.source)


def label_consistency(confusion: Tensor, scored: Sequence[int]) -> float:
    """An expert's mean IoU on one frame over the classes that its label map shows.

    Args:
        confusion: (K, K + 1) int64, labels by rows, as `segment.metrics.regions.confusion_matrix` counts them.
        scored: Train ids that labels and expert can both express; others are left out.

    Returns:
        In [0, 1]; NaN if the label map shows none of the classes.
    """
    shown = [train_id for train_id in scored if confusion[train_id].sum() > 0]
    return float(mean_iou(confusion, shown))


def class_flips(
    translated: Tensor, source: Tensor | None, scored: Sequence[int], least_change: float = 0.0
) -> list[Flip]:
    """Which class turned into which, the largest change first.

    Args:
        translated: (K, K + 1) int64, counted on translated frames.
        source: The same counts on the frames that they were made from, which have the same labels; None
            if these are not known.
        scored: Train ids to look at, among labels and among what the expert sees.
        least_change: Share of a class's pixels by which a confusion must have grown.

    Returns:
        Confusions whose share grew by more than `least_change`, of classes whose recall fell by more than that: where
        the expert did not recognise a class in the sources either, one mistake only took another's place.

    Raises:
        ValueError: The matrices differ in shape.
    """
    if source is not None and translated.shape != source.shape:
        raise ValueError(f"Counts are {tuple(translated.shape)} and {tuple(source.shape)}; expected equal ones.")
    after = translated.double() / translated.sum(-1, keepdim=True)
    before = after * math.nan if source is None else source.double() / source.sum(-1, keepdim=True)
    flips = [
        Flip(label, seen, float(after[label, seen]), float(before[label, seen]))
        for label in scored
        for seen in scored
        if label != seen and (source is None or before[label, label] - after[label, label] > least_change)
    ]
    flips = [flip for flip in flips if flip.change > least_change]
    return sorted(flips, key=lambda flip: (-flip.change, flip.label, flip.seen_as))
