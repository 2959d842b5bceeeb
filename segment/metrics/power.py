"""How large a difference between methods an experiment can show at all, from the spread over its seeds.

Three seeds of a noisy training show little; a table that names a winner by less than that names chance. Computed before
anything is claimed, and the same for every row.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SeedSpread:
    """How far scores of one method differ between seeds, once what a seed does to all methods is taken away."""

    deviation: float
    """Standard deviation of one score, in the unit of the scores."""
    freedom: int
    """Degrees of freedom that it was estimated with."""

    def detectable(self, seeds: int, level: float = 0.05, power: float = 0.8) -> float:
        """The smallest true difference of two methods' means that is found with a probability of `power`.

        Args:
            seeds: n, that both means are over, paired.
            level: Of the two-sided t-test that is to find it.
            power: Probability that it does, if the difference is that large.

        Returns:
            ncp * s * sqrt(2 / n), in the unit of the scores; ncp is the noncentrality at which a noncentral t of
            `freedom` degrees exceeds the quantile t(1 - level / 2) with probability `power`. With many degrees of
            freedom it is 1.96 + 0.84 = 2.80.

        Source: Cohen, Statistical Power Analysis for the Behavioral Sciences (2nd ed., 1988), chapter 2. For a
            t-quantile in the noncentrality's place, Bloom, Evaluation Review 19 (1995): 5 % too small at 2 degrees.
        """
        from scipy.special import nctdtrinc, stdtrit  # here, for it takes a second that few commands need

        critical = stdtrit(self.freedom, 1 - level / 2)
        noncentrality = float(nctdtrinc(self.freedom, 1 - power, critical))
        return noncentrality * self.deviation * math.sqrt(2 / seeds)


def seed_spread(scores: Sequence[Sequence[float]]) -> SeedSpread | None:
    """The spread over seeds that all methods share, each method paired with itself over the same seeds.

    Args:
        scores: (methods, seeds), no number missing.

    Returns:
        The residual of score = method + seed + noise, with (methods - 1) * (seeds - 1) degrees of freedom. None for
        fewer than two of either: one seed has no spread.

    Raises:
        ValueError: The rows differ in length.

    Source: Fisher's randomised blocks, a seed being a block; see Montgomery, Design and Analysis of Experiments,
        chapter 4. Of two methods this is the paired t-test: s = deviation of the differences / sqrt(2).
    """
    if len({len(row) for row in scores}) > 1:
        raise ValueError("Every method needs a score of every seed.")
    methods, seeds = len(scores), len(scores[0]) if scores else 0
    if methods < 2 or seeds < 2:
        return None
    of_method = [statistics.fmean(row) for row in scores]
    of_seed = [statistics.fmean(column) for column in zip(*scores, strict=True)]
    mean = statistics.fmean(of_method)
    residuals = [scores[i][j] - of_method[i] - of_seed[j] + mean for i in range(methods) for j in range(seeds)]
    freedom = (methods - 1) * (seeds - 1)
    return SeedSpread(math.sqrt(sum(residual**2 for residual in residuals) / freedom), freedom)
