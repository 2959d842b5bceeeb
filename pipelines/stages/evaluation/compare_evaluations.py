"""Is this network better than that one, and in which classes? Two evaluations of the same frames, taken together.

The bootstrap is paired: what makes a frame hard is so for both networks and leaves their difference. Two intervals of
their own that overlap say nothing about it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.data.disk.json_files import write_json
from pipelines.errors import UserError
from pipelines.report.columns import in_columns
from pipelines.report.figures import change, score
from pipelines.stages.evaluation.scores import ALL_CLASSES, Evaluation, read_evaluation
from segment.metrics.regions import Differences, paired_differences
from segment.metrics.resampling import Units

SEED = 0


@dataclass(frozen=True)
class EvaluationComparison:
    """Two evaluations of the same frames, and how far the first is ahead."""

    names: tuple[str, str]
    first: Evaluation
    second: Evaluation
    differences: Differences
    units: Units
    """What the bootstrap drew."""

    def rows(self) -> list[tuple[str, float | None, float | None, float | None, float | None, float | None]]:
        """(title, first, second, difference, low, high) of each scored class, then of the mean."""
        low, high = (self.first.of_classes(ends) for ends in self.differences.iou_interval)
        differences = self.first.of_classes(self.differences.iou)
        first, second = self.first.iou(), self.second.iou()
        rows = [
            (self.first.title(i), first[i], second[i], differences[i], low[i], high[i])
            for i in self.first.scored(ALL_CLASSES)
            if first[i] is not None or second[i] is not None
        ]
        low, high = (end if end == end else None for end in self.differences.mean_iou_interval)
        means = (self.first.mean_iou(), self.second.mean_iou())
        return [*rows, ("mIoU", *means, self.differences.mean_iou, low, high)]

    def summary(self) -> dict[str, Any]:
        """All figures, JSON-like."""
        keys = ("first", "second", "difference", "low", "high")
        return {
            "first": self.names[0],
            "second": self.names[1],
            "frames": len(self.first.names),
            "interval": f"95 % of the difference, paired bootstrap over {self.units.title}",
            "iou": {title: dict(zip(keys, values, strict=True)) for title, *values in self.rows()},
        }


def open_evaluation(path: Path, evaluated: Callable[[Path], Evaluation]) -> Evaluation:
    """The evaluation in a folder, or that of a run folder or checkpoint, which is evaluated first.

    Raises:
        UserError: Nothing is there, or an evaluation without its counts.
    """
    if (path / "evaluation.json").exists():
        return read_evaluation(path)
    if not path.exists():
        raise UserError(f"--compare {path} does not exist; expected an evaluation's folder, a run folder or checkpoint")
    return evaluated(path)


def compare_evaluations(names: tuple[str, str], first: Evaluation, second: Evaluation) -> EvaluationComparison:
    """Compare two evaluations.

    Raises:
        UserError: They are not of the same frames and labels, or score other classes.
    """
    if first.names != second.names:
        strange = sorted(set(first.names) ^ set(second.names))
        what = f"{strange[0]!r} is in one only" if strange else "they come in another order"
        raise UserError(f"--compare: {names[0]} and {names[1]} are evaluations of different frames: {what}")
    if (first.groups, first.labelled_ids) != (second.groups, second.labelled_ids):
        raise UserError(f"--compare: {names[0]} and {names[1]} are scored in different classes; evaluate one again")
    pairs = zip(first.names, first.merged.sum(-1), second.merged.sum(-1), strict=True)
    changed = next((name for name, ours, theirs in pairs if not torch.equal(ours, theirs)), None)
    if changed is not None:
        raise UserError(
            f"--compare: {names[0]} and {names[1]} are evaluations of different frames: the label map of {changed!r} "
            "is another"
        )
    units = (second if first.drives is None else first).units  # one made before drives were known lacks them
    pair = (units.summed(evaluation.merged) for evaluation in (first, second))
    return EvaluationComparison(names, first, second, paired_differences(*pair, SEED, first.scored(ALL_CLASSES)), units)


def write_comparison(comparison: EvaluationComparison, output: Path) -> None:
    """Write `comparison.json`; StorageError if the disk refuses it."""
    write_json(output / "comparison.json", comparison.summary())


def format_comparison(comparison: EvaluationComparison) -> str:
    """Both IoUs per class, their difference and its interval, as a table for the terminal."""
    rows = [["", "A", "B", "A - B", "95 % of A - B"]]
    for title, first, second, difference, low, high in comparison.rows():
        sure = low is not None and high is not None and (low > 0 or high < 0)
        interval = f"{change(low)} to {change(high)}"
        rows.append([title, score(first), score(second), change(difference), interval, "*" if sure else ""])
    names = [f"A = {comparison.names[0]}", f"B = {comparison.names[1]}"]
    below = f"* zero lies outside; paired bootstrap over {comparison.units.title}"
    return "\n".join([*names, *in_columns(rows, left=(0, 4)), below])
