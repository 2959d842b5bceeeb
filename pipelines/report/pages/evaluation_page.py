"""An evaluation as one HTML page: every figure, what is taken for what, how far confidence can be believed.

Built like the report of a comparison (`page.py`): one file, everything escaped, no address fetched.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.report import figures
from pipelines.report.pages.templates import rendered, write_page
from segment.classes import CLASS_NAMES

LISTED = 10
"""Frames listed as best and as worst."""


@dataclass(frozen=True)
class EvaluatedFrame:
    """A frame's mean IoU over the classes that it shows."""

    name: str
    mean_iou: float


@dataclass(frozen=True)
class EvaluationPage:
    """What the page shows.

    Attributes:
        network: What was evaluated.
        frame_sets: On what.
        summary: The figures, as in evaluation.json.
        means: (name, value) of what sums it up.
        classes: (train id, title) of each scored class.
        confusion: (K, K + 1) counts of the scored classes, labels by rows; last, all predictions of other classes.
        frames: Those that have a score, in any order.
        facts: (name, value) of how it was made.
    """

    network: str
    frame_sets: str
    summary: dict[str, Any]
    means: list[tuple[str, float | None]]
    classes: list[tuple[int, str]]
    confusion: list[list[int]]
    frames: list[EvaluatedFrame]
    facts: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, ...]:
        """By train id, what figures by class are filed under."""
        return CLASS_NAMES

    @property
    def worst(self) -> list[EvaluatedFrame]:
        """The frames with the lowest scores, the worst first: half of the frames at most."""
        return self._ascending[: min(LISTED, len(self.frames) // 2)]

    @property
    def best(self) -> list[EvaluatedFrame]:
        """As many with the highest scores, the best first; a frame that is alone is the best."""
        return self._ascending[::-1][: max(len(self.worst), 1)]

    @property
    def _ascending(self) -> list[EvaluatedFrame]:
        return sorted(self.frames, key=lambda frame: (frame.mean_iou, frame.name))


def write_evaluation_page(page: EvaluationPage, path: Path) -> None:
    """Write the page to `path`, in one piece or not at all; StorageError if the disk refuses it."""
    write_page(render_evaluation(page), path)


def render_evaluation(page: EvaluationPage) -> str:
    """The page as HTML text."""
    return rendered("evaluation.html", page=page, headline=headline(page), columns=columns(page.summary))


def headline(page: EvaluationPage) -> str:
    """One sentence: the mean IoU and how far it could have moved."""
    score = page.summary["mean_iou"]
    if score is None:
        return f"No class of {page.frame_sets} could be scored."
    low, high = page.summary["interval_95"]
    interval = "" if low is None else f", between {figures.score(low)} and {figures.score(high)} on frames like these"
    return f"Mean IoU {figures.score(score)} on {page.frame_sets}{interval}."


def columns(summary: dict[str, Any]) -> list[tuple[str, dict[str, float | None]]]:
    """(title, value by class name) of each column of the table of classes, beside the IoU's bar."""
    titles = (("IoU", "iou"), ("Accuracy", "accuracy"), ("Precision", "precision"), ("F1", "f1"))
    found = [(title, summary[key]) for title, key in titles]
    for title, key in (("iIoU", "instance_iou"), ("Boundary", "boundary_iou")):
        if key in summary:
            found.append((title, summary[key]["classes"]))
    return [*found, ("Of pixels", summary["share_of_pixels"])]
