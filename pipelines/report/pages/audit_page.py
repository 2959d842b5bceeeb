"""The audit of a translated set as one HTML page: what flipped, which frames are worst, what a threshold would cost.

Built like the report of a comparison (`page.py`): one file, everything escaped, no address fetched.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.report import charts, figures
from pipelines.report.pages.templates import rendered, write_page
from segment.class_groups import Groups, class_titles, lowest_ids
from translate.quality.consistency import Flip

THRESHOLDS = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True)
class AuditedFrame:
    """The scores of one frame, NaN where one could not be given, and what flipped in it."""

    name: str
    label_consistency: float
    source_consistency: float
    structure: float
    flips: list[Flip]

    @property
    def change(self) -> float:
        """What translation did to the expert's score; NaN without a source."""
        return self.label_consistency - self.source_consistency


@dataclass(frozen=True)
class AuditPicture:
    """A frame as uint8 (H, W, 3), and its label map and what the expert sees as uint8 (H, W) of train ids."""

    frame: AuditedFrame
    source: np.ndarray | None
    translated: np.ndarray
    label: np.ndarray | None
    seen: np.ndarray
    seen_in_source: np.ndarray | None


@dataclass(frozen=True)
class Audit:
    """What an audit found. `titles` names classes by train id, `scored` are those that count, `groups` count as one."""

    folder: str
    expert: str
    frames: list[AuditedFrame]
    flips: list[Flip]
    titles: dict[int, str]
    scored: list[int]
    with_sources: bool
    groups: Groups = ()
    command: str = ""
    date: str = ""
    machine: str = ""
    lowest: list[AuditPicture] = field(default_factory=list)
    lost: list[AuditPicture] = field(default_factory=list)

    def values(self, score: str) -> list[float]:
        """One score ("label_consistency", "structure", "change", ...) of every frame that has it."""
        return [value for value in (getattr(frame, score) for frame in self.frames) if math.isfinite(value)]

    def mean(self, score: str) -> float:
        """Mean of one score over the frames that have it; NaN without any."""
        values = self.values(score)
        return sum(values) / len(values) if values else math.nan

    def frames_in_words(self) -> str:
        """How many frames have a label consistency, and how many have none: "9 frames; 1 has no score"."""
        scored = len(self.values("label_consistency"))
        without = len(self.frames) - scored
        told = f"{scored} frame{'' if scored == 1 else 's'}"
        return f"{told}; {without} {'has' if without == 1 else 'have'} no score" if without else told

    def below(self, threshold: float) -> int:
        """Frames that `segmenter.least_label_consistency` of this value would leave out."""
        return sum(not frame.label_consistency >= threshold for frame in self.frames)


def write_audit(audit: Audit, path: Path) -> None:
    """Write the page to `path`, in one piece or not at all; StorageError if the disk refuses it."""
    write_page(render_audit(audit), path)


def render_audit(audit: Audit) -> str:
    """The page as HTML text, with its pictures in it."""
    worst = (
        ("Lowest label consistency", audit.lowest),
        ("Largest loss against the source, of the others", audit.lost),
    )
    return rendered(
        "audit.html",
        audit=audit,
        headline=headline(audit),
        sentences=sentences(audit),
        frames=worst_first(audit),
        worst=[(title, chosen) for title, chosen in worst if chosen],
        thresholds=thresholds(audit),
        curves=sorted_scores(audit),
        keys=colour_keys(audit.groups),
    )


def colour_keys(groups: Groups) -> dict[int, str]:
    """Names of the classes that are told apart, by the train ids in whose colours they are painted."""
    lowest = lowest_ids(groups)
    return {train_id: title for train_id, title in class_titles(groups).items() if lowest[train_id] == train_id}


def headline(audit: Audit) -> str:
    """One sentence: the worst thing that translation did to the labels."""
    if not math.isfinite(audit.mean("label_consistency")):
        return "No frame could be scored: no label map shows a class that labels and expert have in common."
    if not audit.with_sources:
        return f"The expert finds the labels again with a mean IoU of {figures.score(audit.mean('label_consistency'))}."
    if not audit.flips:
        return "No class lost more than 5 % of its pixels to another in translation."
    flip = audit.flips[0]
    return (
        f"{figures.percent(flip.change)} of {audit.titles[flip.label]} turned into {audit.titles[flip.seen_as]} "
        f"in translation."
    )


def sentences(audit: Audit) -> list[str]:
    """What the figures say, and what they cannot."""
    found = []
    if audit.with_sources:
        changes = audit.values("change")
        lost = sum(change < 0 for change in changes)
        found.append(
            f"{audit.expert} scores {figures.score(audit.mean('label_consistency'))} on the translated frames and "
            f"{figures.score(audit.mean('source_consistency'))} on their sources; {lost} of {len(changes)} frames "
            "that have both scores lost."
        )
    else:
        found.append("The sources are not at hand, so the expert's own mistakes are among the flips.")
    found.append(
        "A score is only as good as the expert: one that learnt on target frames may fail on synthetic ones and gain "
        "by translation, one that learnt on the source frames may lose by it though nothing moved. Look at the frames."
    )
    return found


def worst_first(audit: Audit) -> list[AuditedFrame]:
    """All frames by ascending label consistency, those without a score last; by name where it is the same."""

    def order(frame: AuditedFrame) -> tuple[float, str]:
        scored = math.isfinite(frame.label_consistency)
        return frame.label_consistency if scored else math.inf, frame.name

    return sorted(audit.frames, key=order)


def thresholds(audit: Audit) -> list[tuple[float, int]]:
    """(threshold, frames below it), for thresholds that leave out some frames and not all."""
    counted = [(threshold, audit.below(threshold)) for threshold in THRESHOLDS]
    return [(threshold, count) for threshold, count in counted if 0 < count < len(audit.frames)]


def sorted_scores(audit: Audit) -> list[charts.Line]:
    """The frames' scores from worst to best, those of their sources in the same way."""
    lines = [("Translated frames", "translated", "label_consistency"), ("Sources", "source_only", "source_consistency")]
    curves = []
    for title, style, score in lines:
        values = sorted(audit.values(score))
        if values:
            curves.append(charts.Line(title, style, list(enumerate(values, 1))))
    return curves
