"""What a comparison of variants found, and its table: a variant per row, every seed shown, the gap closed beside it."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from pipelines.experiment.arms import REFERENCES, few_labels_name
from pipelines.printable import printable
from pipelines.report import markdown
from pipelines.report.figures import change, percent, score, significant
from pipelines.report.record import Record, plain
from pipelines.report.study import average, deviation, gap_closed
from pipelines.report.tables import spread
from segment.class_groups import class_titles
from segment.classes import CLASS_NAMES
from segment.metrics.power import SeedSpread, seed_spread

BELOW = "°"
"""Marks a difference that is smaller than the experiment can show."""
ENOUGH_SEEDS = 3


@dataclass(frozen=True)
class VariantResult:
    """One variant (or reference) with one seed.

    `iou` has one entry per train id, None where the class does not count; it, the mean and its interval are None where
    no segmenter was trained. `figures` are measures of the translated frames by title; `translator_seconds` is the time
    of the translator's training steps.
    """

    name: str
    seed: int
    mean_iou: float | None
    interval: tuple[float, float] | None
    iou: list[float | None] | None
    translator_seconds: float | None
    figures: dict[str, float]
    mean_iou_16: float | None = None
    """Over the 16 classes that SYNTHIA shares with Cityscapes."""
    mean_iou_13: float | None = None
    """Over the 13 of the older protocol."""
    family: str = ""
    """The variant of the config that it comes of, where that is tried with several numbers of labels."""
    labels: int | None = None
    """How many labelled target frames it may learn from, where several numbers are tried; 0: all."""
    start: str = ""
    """What its network began from; "" where there is none, or the record does not say so."""


@dataclass(frozen=True)
class VariantStudy(Record):
    """A whole comparison. `settings` is the resolved config of each variant; `groups` are the train ids that are scored
    as one class.
    """

    results: list[VariantResult]
    gap_intervals: dict[str, tuple[float, float]] = field(default_factory=dict, kw_only=True)
    """95 % of the share of the gap that a row closes, over `interval_over`; of rows without one nothing."""
    groups: list[list[int]] = field(default_factory=list, kw_only=True)
    stopped: dict[str, str] = field(default_factory=dict, kw_only=True)
    """Why there is no result, by row and seed ("dacs, seed 1"), where a training collapsed."""

    def names(self) -> list[str]:
        """Source-only, the variants in the order of the config, the oracle."""
        variants = [name for name in dict.fromkeys(result.name for result in self.results) if name not in REFERENCES]
        return ["source_only", *variants, "oracle"]

    def seeds(self) -> list[int]:
        """All seeds, ascending."""
        return sorted({result.seed for result in self.results})

    def of(self, name: str) -> list[VariantResult]:
        """A variant's results by ascending seed."""
        return sorted((result for result in self.results if result.name == name), key=lambda result: result.seed)

    def scores(self, name: str) -> dict[int, float]:
        """The mean IoUs of a row by ascending seed, of the seeds that have one."""
        return {result.seed: result.mean_iou for result in self.of(name) if result.mean_iou is not None}

    def has_scores(self, name: str) -> bool:
        """Whether a segmenter was trained on a variant's frames."""
        return bool(self.scores(name))

    def is_whole(self, name: str) -> bool:
        """Whether a row has a score of every seed; means over other seeds do not compare with its own."""
        return len(self.scores(name)) == len(self.seeds())

    def of_seeds(self, count: int) -> str:
        """ " (2 of 3 seeds)", to stand behind what is a mean over so many; "" behind one over all."""
        return "" if count == len(self.seeds()) else f" ({count} of {len(self.seeds())} seeds)"

    def gap(self, name: str) -> float | None:
        """Share of the gap that a variant closes, by the scores averaged over the seeds that it and both references
        have; None where there is no gap, or not all three start from the same weights.
        """
        if not self.starts_alike(name):
            return None
        low, high = map(self.scores, REFERENCES)
        own = self.scores(name)
        all_three = [(low[seed], own[seed], high[seed]) for seed in self.seeds_of_gap(name)]
        return gap_closed(*map(average, zip(*all_three, strict=True))) if all_three else None

    def seeds_of_gap(self, name: str) -> list[int]:
        """The seeds that a variant and both references have scores of, ascending."""
        return sorted(set.intersection(*(set(self.scores(one)) for one in (name, *REFERENCES))))

    @cached_property
    def seed_spread(self) -> SeedSpread | None:
        """How far seeds differ, by all rows that have every seed; None with one seed."""
        rows = ([result.mean_iou for result in self.of(name)] for name in self.names())
        whole = [row for row in rows if len(row) == len(self.seeds())]
        return seed_spread([row for row in whole if all(mean is not None and math.isfinite(mean) for mean in row)])

    def detectable(self, seeds: int | None = None) -> float | None:
        """The smallest difference of two rows' means over so many seeds (all) that this experiment can show.

        80 % power, two-sided at 5 %; None where the spread over seeds is not known.
        """
        return None if self.seed_spread is None else self.seed_spread.detectable(seeds or len(self.seeds()))

    def difference(self, name: str, other: str = "source_only") -> tuple[float, int] | None:
        """How far a row is ahead of another, mean over the seeds that both have; and how many these are."""
        own, others = self.scores(name), self.scores(other)
        both = [own[seed] - others[seed] for seed in own if seed in others]
        return (average(both), len(both)) if both else None

    def is_shown(self, name: str, other: str = "source_only") -> bool | None:
        """Whether a row differs from another by as much as can be shown here; None where that is not known."""
        difference = self.difference(name, other)
        if difference is None or self.seed_spread is None:
            return None
        return abs(difference[0]) >= self.detectable(difference[1])

    def brackets_in_words(self) -> str:
        """What the intervals beside scores and shares of the gap tell, as a sentence to stand above its tables."""
        return (
            f"In brackets the 95 % bootstrap interval over {self.interval_over}: what other frames might give, and "
            "nothing of other trainings."
        )

    def power_in_words(self) -> str:
        """What differences the experiment can show, as a sentence to stand below its tables."""
        seeds, least = len(self.seeds()), self.detectable()
        if least is None and seeds > 1:
            return (
                f"Fewer than two rows have a score in each of these {seeds} seeds, so it is not known how far seeds "
                "differ, and no difference here can be told from chance."
            )
        if least is None:
            return (
                "One seed does not tell how far seeds differ, so no difference here can be told from chance; "
                f"{ENOUGH_SEEDS} or more seeds (--seeds {ENOUGH_SEEDS}) can."
            )
        few = f" Two seeds are a first guess: claim nothing with fewer than {ENOUGH_SEEDS}."
        how = (
            "paired by seed, two-sided t-test at 5 %, power 80 %, one spread over seeds for all rows, "
            f"{self.seed_spread.freedom} degrees of freedom"
        )
        return (
            f"Differences from {score(least)} on can be shown with these {seeds} seeds ({how}); {BELOW} marks smaller "
            f"ones, which may be chance.{few if seeds < ENOUGH_SEEDS else ''}"
        )

    def to_json(self) -> str:
        """The record as JSON; with what it can show, and each row's difference to source-only, under "power"."""
        rows = {name: self.difference(name) for name in self.names() if name != "source_only"}
        power: dict[str, Any] = {
            "seeds": len(self.seeds()),
            "detectable_difference": self.detectable(),
            "rows": {
                name: {"difference": found[0], "seeds": found[1], "shown": self.is_shown(name)}
                for name, found in rows.items()
                if found is not None
            },
        }
        return json.dumps(plain(asdict(self) | {"power": power}), indent=1, allow_nan=False) + "\n"

    def starts_alike(self, name: str) -> bool:
        """Whether a variant and both references began from the same weights."""
        return len({result.start for one in (name, *REFERENCES) for result in self.of(one)}) <= 1

    def starts_in_words(self) -> str:
        """What the networks began from, and of which rows no gap is told therefore; "" where the record does not say.

        A sentence to stand below the tables.
        """
        by_start: dict[str, list[str]] = {}
        for name in filter(self.has_scores, self.names()):
            for start in dict.fromkeys(result.start for result in self.of(name) if result.start):
                by_start.setdefault(start, []).append(title_of(name))
        if len(by_start) <= 1:
            return "".join(f"Every network starts from {start}." for start in by_start)
        told = "; ".join(f"{', '.join(names)} from {start}" for start, names in by_start.items())
        return f"What the networks start from: {told}. Gap closed is told of those alone that start as both references."

    def stopped_in_words(self) -> str:
        """What has no result and why, as a sentence to stand below the tables; "" where all have one."""
        told = "; ".join(f"{title_of(row)}: {why}" for row, why in self.stopped.items())
        return f"Without a result, since training collapsed: {told}." if told else ""

    def labels_in_words(self) -> str:
        """Whose scores `label_table` holds, and whether their spread is also that of which frames had labels."""
        same = any(one["compare"]["one_translator"] for one in self.settings.values())
        whose = (
            "the same frames in every seed, by compare.one_translator" if same else "every seed has frames of its own"
        )
        return f"Mean IoU by the number of labelled target frames ({whose}), mean ± std over seeds:"

    def budgets(self) -> list[int]:
        """The numbers of labelled target frames that were tried, ascending; all (0) last."""
        found = {result.labels for result in self.results if result.labels is not None}
        return sorted(found, key=lambda labels: (labels == 0, labels))

    def contestants(self) -> list[str]:
        """The variants of the config that have scores: neither the references nor what a few labels alone give."""
        alone = {result.name for result in self.results if result.labels is not None and result.family == result.name}
        return [name for name in self.names() if name not in {*REFERENCES, *alone} and self.has_scores(name)]

    def families(self) -> list[str]:
        """The variants that were tried with several numbers of labels, in order."""
        with_labels = [result for result in self.results if result.labels is not None]
        return list(dict.fromkeys(result.family for result in with_labels if result.family != result.name))

    def with_labels(self, family: str, labels: int) -> list[float]:
        """The mean IoUs of a family's row with so many labelled frames, by seed; empty where it was not run."""
        found = [result for result in self.results if result.family == family and result.labels == labels]
        return [result.mean_iou for result in found if result.mean_iou is not None]

    def figure_titles(self) -> list[str]:
        """Titles of all figures, in the order in which they first appear."""
        return list(dict.fromkeys(title for result in self.results for title in result.figures))


def markdown_table(study: VariantStudy) -> str:
    """Tables in Markdown, each below a sentence: scores with a variant per row, and what `class_table`, `label_table`
    and `figure_table` hold; then the command, machine and date that they come from.
    """
    scores = [["", *(f"seed {seed}" for seed in study.seeds()), "mean ± std", "over source-only", "gap closed"]]
    scores += [score_row(study, name) for name in study.names() if study.has_scores(name)]
    said = markdown.escaped
    parts = [said(f"Mean IoU on {study.validation}. {study.brackets_in_words()}"), markdown.table(scores)]
    parts += map(said, filter(None, [study.power_in_words(), study.stopped_in_words()]))
    parts += ["IoU of each class in percent, mean over seeds:", markdown.table(class_table(study))]
    if study.budgets():
        parts.append(study.labels_in_words())
        parts.append(markdown.table(label_table(study)))
    if figures := figure_table(study):
        parts += ["The translated frames, mean ± std over seeds:", markdown.table(figures)]
    parts += map(said, filter(None, [study.starts_in_words()]))
    return printable("\n\n".join([*parts, study.origin()]) + "\n")


def title_of(name: str) -> str:
    """What a row is called, for people."""
    return name.replace("_", "-")


def score_row(study: VariantStudy, name: str) -> list[str]:
    """Title, mean IoU of every seed, mean and deviation over them, what is won over source-only, share of the gap."""
    results = {result.seed: result for result in study.of(name) if result.mean_iou is not None}
    without = {seed: "collapsed" if f"{name}, seed {seed}" in study.stopped else "not run" for seed in study.seeds()}
    scores = [_with_interval(results[seed]) if seed in results else without[seed] for seed in study.seeds()]
    mean = spread(list(study.scores(name).values())) + study.of_seeds(len(results))
    return [title_of(name), *scores, mean, _won(study, name), _closed(study, name)]


def _with_interval(result: VariantResult) -> str:
    if result.interval is None:
        return score(result.mean_iou)
    low, high = map(score, result.interval)
    return f"{score(result.mean_iou)} [{low}, {high}]"


def _closed(study: VariantStudy, name: str) -> str:
    """The share of the gap with its interval: "38 % [21 %, 50 %]"."""
    gap = study.gap(name) if name not in REFERENCES else None
    if gap is None or name not in study.gap_intervals:
        return "" if gap is None else percent(gap)
    low, high = map(percent, study.gap_intervals[name])
    return f"{percent(gap)} [{low}, {high}]"


def _won(study: VariantStudy, name: str) -> str:
    difference = None if name == "source_only" else study.difference(name)
    if difference is None:
        return ""
    return change(difference[0]) + (f" {BELOW}" if study.is_shown(name) is False else "")


MEANS = {"mean_iou": "mIoU", "mean_iou_16": "mIoU 16", "mean_iou_13": "mIoU 13"}
"""Columns of means over classes, by the fields that hold them."""


def row_title(study: VariantStudy, name: str) -> str:
    """What a row of means over seeds is called: which says so where it has fewer seeds than there are."""
    return title_of(name) + study.of_seeds(len(study.scores(name)))


def class_table(study: VariantStudy) -> list[list[str]]:
    """A variant per row, a class per column: those that count for any; then the means over classes that there are."""
    rows = [name for name in study.names() if study.has_scores(name)]
    ious = {name: [result.iou for result in study.of(name) if result.iou is not None] for name in rows}
    counted = [k for k in range(len(CLASS_NAMES)) if any(iou[k] is not None for one in ious.values() for iou in one)]
    titles = class_titles(study.groups)
    means = [mean for mean in MEANS if any(getattr(one, mean) is not None for name in rows for one in study.of(name))]
    table = [["", *(titles[k] for k in counted), *(MEANS[mean] for mean in means)]]
    for name in rows:
        classes = [_percent_of(one[k] for one in ious[name]) for k in counted]
        over_classes = [_percent_of(getattr(one, mean) for one in study.of(name)) for mean in means]
        table.append([row_title(study, name), *classes, *over_classes])
    return table


def _percent_of(values: Iterable[float | None]) -> str:
    """The mean in percent with one digit, as the field's tables have it; empty where there is none."""
    found = [value for value in values if value is not None]
    return f"{100 * average(found):.1f}" if found else ""


def label_table(study: VariantStudy) -> list[list[str]]:
    """A method per row, a number of labelled frames per column: the labels alone, then every family.

    With all labels the network that learns from nothing else is the oracle.
    """
    budgets = study.budgets()
    table = [["", *(str(labels) if labels else "all" for labels in budgets)]]
    alone = [list(study.scores("oracle" if labels == 0 else few_labels_name(labels)).values()) for labels in budgets]
    rows = {"labelled target frames alone": alone}
    rows |= {family: [study.with_labels(family, labels) for labels in budgets] for family in study.families()}
    for title, scores in rows.items():
        cells = [spread(values) + study.of_seeds(len(values)) if values else "not run" for values in scores]
        table.append([title_of(title), *cells])
    return table


def figure_table(study: VariantStudy) -> list[list[str]]:
    """A variant with translated frames of its own per column, a measure of these per row; then how long training the
    translators took. Empty without such a variant.
    """
    measured = {one.name for one in study.results if one.figures or one.translator_seconds is not None}
    variants = [name for name in study.names() if name in measured - set(REFERENCES)]
    rows = {
        title: [[one.figures[title] for one in study.of(name) if title in one.figures] for name in variants]
        for title in study.figure_titles()
    }
    times = [[one.translator_seconds for one in study.of(name)] for name in variants]
    minutes = [[seconds / 60 for seconds in row if seconds is not None] for row in times]
    if any(minutes):
        rows["minutes of training the translator"] = minutes
    table = [["", *map(title_of, variants)]]
    table += [[title, *(_figure(study, values) for values in row)] for title, row in rows.items()]
    return table if variants else []


def _figure(study: VariantStudy, values: list[float]) -> str:
    if not values:
        return ""
    beside = deviation(values)
    mean = significant(average(values)) + ("" if beside is None else f" ± {significant(beside, 2)}")
    return mean + study.of_seeds(len(values))
