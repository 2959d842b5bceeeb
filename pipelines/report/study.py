"""What a comparison found, as plain values: the record behind the report and the `results.json` beside it.

Three arms train the same network under one budget and the same seeds: on synthetic frames (source-only), on translated
frames, and on labelled real frames (the oracle). *Gap closed* relates the three. Every table and picture of the report
is made from these values, so the page can be drawn again without training anything.
"""

import math
import statistics
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from pipelines.errors import UserError
from pipelines.experiment.arms import COMPARED, names, titles, translates, what_closes_the_gap
from pipelines.report.record import Record
from segment.metrics import regions as metrics

# JSON has no NaN: it is written as null, and a null where a number belongs is read back as NaN.
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


@dataclass(frozen=True)
class FrameScore:
    """Mean IoU of one frame over the classes present in it; NaN where the label holds none."""

    name: str
    mean_iou: Number


@dataclass(frozen=True)
class ArmResult:
    """One arm trained with one seed and evaluated.

    `iou` has one entry per train id, in 0..1, None where the class is not counted; the IoU of merged classes stands at
    the first train id of their group. `confusion` has a row per true class and a column per predicted class, in pixels;
    the last column counts pixels predicted as void. `interval` is the 95 % bootstrap over
    the record's `interval_over`.
    """

    arm: Literal[COMPARED]
    seed: int
    mean_iou: Number
    mean_iou_16: float | None
    mean_iou_13: float | None
    interval: tuple[Number, Number]
    pixel_accuracy: Number
    iou: list[float | None]
    confusion: list[list[int]]
    frames: list[FrameScore]
    curve: list[tuple[int, Number]]
    training_seconds: Number
    start: str = ""
    """What its network began from; "" in records that do not say so."""


@dataclass(frozen=True)
class NetworkFacts:
    """Size and speed of the segmentation network that every arm trains; latencies in milliseconds."""

    parameters: int
    gflops: Number
    input_size: str
    latency_ms_p50: Number
    latency_ms_p90: Number
    frames_per_second: Number
    device: str
    name: str = "the segmentation network"
    measurement: str = ""


@dataclass(frozen=True)
class Study(Record):
    """A whole comparison. `groups` lists the train ids that are scored as one."""

    notes: list[str]
    classes: list[str]
    groups: list[list[int]]
    results: list[ArmResult]
    network: NetworkFacts
    __pydantic_config__ = ConfigDict(extra="forbid")

    def titles(self) -> dict[str, str]:
        """What each arm is called, in the order in which every table and chart shows them."""
        return titles(self._segmenter())

    def names(self) -> dict[str, str]:
        """What each arm is called within a sentence: "source-only", "translated + DACS"."""
        return names(self._segmenter())

    def what_closes_the_gap(self) -> str:
        """What closed the gap, or did not, as a sentence begins: "Translation", "Adaptation by DACS"."""
        return what_closes_the_gap(self._segmenter())

    def translates(self) -> bool:
        """Whether an arm learnt from translated frames."""
        return translates(self._segmenter())

    def _segmenter(self) -> dict[str, Any]:
        return self.settings.get("segmenter", {})

    def seeds(self) -> list[int]:
        """All seeds of any arm, ascending."""
        return sorted({result.seed for result in self.results})

    def of(self, arm: str) -> list[ArmResult]:
        """The results of one arm, by ascending seed."""
        return sorted((result for result in self.results if result.arm == arm), key=lambda result: result.seed)

    def result(self, arm: str, seed: int) -> ArmResult | None:
        """The result of one arm and seed, or None where it was not run."""
        return next((result for result in self.results if result.arm == arm and result.seed == seed), None)

    def complete_seeds(self) -> list[int]:
        """The seeds that all three arms were trained with."""
        return [seed for seed in self.seeds() if all(self.result(arm, seed) for arm in COMPARED)]

    def starts(self) -> dict[str, str]:
        """What the networks of each arm began from, in words, by arm."""
        return {arm: " and ".join(dict.fromkeys(one.start for one in self.of(arm))) for arm in COMPARED}

    def starts_alike(self) -> bool:
        """Whether all arms began from the same weights; else no gap closed is told."""
        return len({result.start for result in self.results}) <= 1

    def gap_per_seed(self) -> dict[int, float | None]:
        """Gap closed by seed: 1 is the whole gap. None where it is undefined: see `gap_closed` and `starts_alike`."""
        gaps: dict[int, float | None] = dict.fromkeys(self.seeds())
        if not self.starts_alike():
            return gaps
        for seed in self.complete_seeds():
            gaps[seed] = gap_closed(*(self.result(arm, seed).mean_iou for arm in COMPARED))
        return gaps

    def gap_mean(self) -> float | None:
        """Gap closed by the three mean IoUs averaged over the seeds that all arms have; None as in `gap_per_seed`.

        The ratio of the means, not the mean of the ratios: one seed with hardly any gap would otherwise rule the mean.
        """
        seeds = self.complete_seeds()
        if not seeds or not self.starts_alike():
            return None
        return gap_closed(*(average([self.result(arm, seed).mean_iou for seed in seeds]) for arm in COMPARED))

    def class_groups(self) -> list[list[int]]:
        """The train ids in scoring units: each merged group once, every other class by itself, in train id order."""
        merged = {train_id for group in self.groups for train_id in group}
        alone = [[train_id] for train_id in range(len(self.classes)) if train_id not in merged]
        return sorted([*alone, *(sorted(group) for group in self.groups if group)])

    def group_title(self, group: list[int]) -> str:
        """What a scoring unit is called: 'car', or 'car + truck + bus'."""
        return " + ".join(self.classes[train_id] for train_id in group)

    def titled(self, train_id: int) -> str:
        """What the scoring unit of a train id is called."""
        return next(self.group_title(group) for group in self.class_groups() if train_id in group)

    def group_iou(self, arm: str, group: list[int]) -> list[float | None]:
        """IoU of a scoring unit by seed of the arm; None where the labels do not hold it."""
        return [
            next((result.iou[i] for i in group if result.iou[i] is not None and math.isfinite(result.iou[i])), None)
            for result in self.of(arm)
        ]

    def phantoms(self) -> list[list[int]]:
        """The scoring units that no label holds and that yet have an IoU, which is 0: some arm predicts them."""
        return [
            group
            for group in self.class_groups()
            if any(value is not None for arm in COMPARED for value in self.group_iou(arm, group))
            and not any(sum(result.confusion[train_id]) for result in self.results for train_id in group)
        ]

    def confusion(self, arm: str) -> list[list[int]]:
        """Confusion matrix of an arm, summed over seeds and merged into (groups, groups + void), in pixels."""
        groups = self.class_groups()
        columns = [*groups, [len(self.classes)]]
        matrices = [result.confusion for result in self.of(arm)]
        return [
            [sum(matrix[i][j] for matrix in matrices for i in row for j in column) for column in columns]
            for row in groups
        ]

    def frames_improved(self) -> tuple[int, int]:
        """(frames whose mean IoU over seeds is higher for translated than for source-only, frames compared)."""
        before, after = self.frame_means("source_only"), self.frame_means("translated")
        both = [name for name in before if name in after]
        return sum(after[name] > before[name] for name in both), len(both)

    def frame_means(self, arm: str) -> dict[str, float]:
        """Mean IoU by frame name, averaged over the seeds of an arm; frames without a number are left out."""
        scores: dict[str, list[float]] = {}
        for frame in (frame for result in self.of(arm) for frame in result.frames):
            if math.isfinite(frame.mean_iou):
                scores.setdefault(frame.name, []).append(frame.mean_iou)
        return {name: average(values) for name, values in scores.items()}

    @staticmethod
    def from_json(text: str) -> "Study":
        """Read back what `to_json` wrote.

        Raises:
            UserError: The text is no JSON or not of this shape; names the first entry that does not fit.
        """
        try:
            return _STUDY.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the file as a whole"
            raise UserError(
                f"Not the results of a comparison: {where}: {first['msg']}. "
                "Give the results.json that `sim2real compare` of this version wrote."
            ) from None


_STUDY = TypeAdapter(Study)


def gap_closed(source_only: float, translated: float, oracle: float) -> float | None:
    """Share of the mean IoU between source-only and oracle that translation wins back.

    1 is the whole gap; negative where translation does harm. None where there is no gap to close: the oracle does not
    beat source-only, or one of the three is not a number.
    """
    share = metrics.gap_closed(source_only, translated, oracle)
    return share if math.isfinite(share) else None


def average(values: list[float | None]) -> float:
    """Mean of the numbers among the values; NaN when there are none."""
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(numbers) if numbers else math.nan


def deviation(values: list[float | None]) -> float | None:
    """Standard deviation of a sample (n - 1); None for fewer than two numbers, which have no spread."""
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.stdev(numbers) if len(numbers) > 1 else None
