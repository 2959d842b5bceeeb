"""What a comparison of variants found: each row and seed, the share of the gap, and what so many seeds can show."""

import json
import math
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from pipelines.experiment.arms import REFERENCES
from pipelines.report.figures import score
from pipelines.report.record import Record, plain
from pipelines.report.study import average, gap_closed
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


def title_of(name: str) -> str:
    """What a row is called, for people."""
    return name.replace("_", "-")
