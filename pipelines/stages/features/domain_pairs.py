"""How far apart two domains lie in the features of one network: a probe between them, and distances class by class."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from pipelines.report.feature_study import ClassShift, DomainPair
from pipelines.stages.features.class_features import ClassFeatures
from segment.metrics.features import centroid_distance, domain_probe, maximum_mean_discrepancy

PAIRS = (("source", "target"), ("translated", "target"), ("source", "translated"))
FEWEST = 10
"""Cells of a class that a domain must show before the class has figures there."""


def domain_pairs(drawn: Mapping[str, ClassFeatures], frames: Mapping[str, int], seed: int) -> list[DomainPair]:
    """How far apart every two domains lie in one network's features.

    Args:
        drawn: Cells by domain.
        frames: Number of frames by domain.
        seed: Of the halves that the probe learns from and is tested on.
    """
    return [_pair(drawn, frames, names, seed) for names in PAIRS if all(name in drawn for name in names)]


def _pair(
    drawn: Mapping[str, ClassFeatures], frames: Mapping[str, int], names: tuple[str, str], seed: int
) -> DomainPair:
    first, second = (drawn[name] for name in names)
    counts = [one.counts() for one in (first, second)]
    common = [i for i in sorted(counts[0]) if min(counts[0][i], counts[1].get(i, 0)) >= FEWEST]
    shifts = [
        ClassShift(i, centroid_distance(first.of(i), second.of(i)), maximum_mean_discrepancy(first.of(i), second.of(i)))
        for i in common
    ]
    if not common:
        return DomainPair(*names, math.nan, math.nan, math.nan, math.nan, [])
    halves = [learnt_from(frames[name], seed)[one.frames] for name, one in zip(names, (first, second), strict=True)]
    train, test = (
        _even(
            [one.chosen(half == part) for one, half in zip((first, second), halves, strict=True)],
            common,
        )
        for part in (True, False)
    )
    accuracy = a_distance = math.nan
    if all(map(len, (*train, *test))):
        accuracy, a_distance = domain_probe((train[0].values, train[1].values), (test[0].values, test[1].values))
    even = _even([first, second], common)
    return DomainPair(
        *names,
        probe_accuracy=accuracy,
        a_distance=a_distance,
        mmd=maximum_mean_discrepancy(even[0].values, even[1].values),
        centroid_distance=float(np.mean([shift.centroid_distance for shift in shifts])),
        classes=shifts,
    )


def _even(pair: Sequence[ClassFeatures], classes: Sequence[int]) -> list[ClassFeatures]:
    """As many cells of each class from either domain: else the mixture of classes would give the domain away."""
    counts = [one.counts() for one in pair]
    return [_of_each(one, {i: min(of.get(i, 0) for of in counts) for i in classes}) for one in pair]


def _of_each(features: ClassFeatures, wanted: Mapping[int, int]) -> ClassFeatures:
    """The first cells of some classes: class -> how many."""
    chosen = [np.flatnonzero(features.classes == i)[:count] for i, count in wanted.items()]
    return features.chosen(np.concatenate(chosen))


def learnt_from(frames: int, seed: int) -> np.ndarray:
    """Which half of the frames a probe learns from, (frames,) bool; whole frames, since cells of one are alike."""
    return np.random.default_rng([seed, frames]).permutation(frames) < frames // 2
