"""Which classes several ways of labelling share: what can be scored, or compared, on frames of all of them.

One that has fewer classes, or that cannot tell two apart, decides for all: figures of different classes do not compare.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.data.frames import FrameSet
from pipelines.data.labels.encodings import LabelEncoding
from segment.class_groups import counted_once, joined_groups
from segment.classes import CLASS_NAMES


@dataclass(frozen=True)
class SharedClasses:
    """What all of some encodings can tell apart."""

    groups: list[list[int]]
    """Train ids that one of them merges, overlapping groups joined; each group counts as its lowest."""
    labelled_ids: list[int]
    """Train ids that every one of them can express, a group by any of its members."""

    @property
    def scored(self) -> list[int]:
        """The train ids to score: of those that can be expressed, one of each group."""
        return counted_once(self.labelled_ids, self.groups)


def encodings_of(sets: Iterable[FrameSet]) -> set[LabelEncoding]:
    """How the label maps of frame sets are written."""
    return {encoding for frames in sets for encoding in frames.encodings}


def shared_classes(encodings: Iterable[LabelEncoding]) -> SharedClasses:
    """What several ways of labelling can tell apart, all of them; all classes for none."""
    encodings = list(encodings)
    groups = joined_groups(group for encoding in encodings for group in encoding.merged)
    expressed = (
        encoding.train_ids | {group[0] for group in groups if encoding.train_ids.intersection(group)}
        for encoding in encodings
    )
    return SharedClasses(groups, sorted(set(range(len(CLASS_NAMES))).intersection(*expressed)))
