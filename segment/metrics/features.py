"""How far apart two domains lie in a network's features, in numbers: pictures of features persuade too easily.

Three views of one question. How far the classes' centres moved, measured in the spread of the class; whether a linear
classifier can tell the domains apart; and how much the distributions differ at all (MMD). None of them says that a
network segments well: features that have lost everything are aligned too.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

MOST_FOR_MEDIAN = 1000
"""Features, evenly spread, whose distances the median is taken of."""

PROBE_PENALTY = 1e-2
"""On half the squared weights of the probe: without one, a few features of many dimensions are always separable."""


def centroid_distance(first: Tensor, second: Tensor) -> float:
    """How far the centre of one class moved from one domain to the other, in units of the class's own spread.

    sqrt(|m1 - m2|² / s²), where s² is the mean squared distance of a feature to the centre of its own domain, the mean
    of both domains' (each with n - 1). From |m1 - m2|² is taken away what the centres of n1 and n2 draws of one
    distribution are apart anyway, s1²/n1 + s2²/n2, so that few features do not look like a shift.

    Args:
        first: (N, D) features of the class in one domain.
        second: (M, D) in the other.

    Returns:
        0: in one place; 1: as far apart as a feature of the class is from its centre, and so on. Does not change when
        features are scaled, moved or rotated.

    Raises:
        ValueError: The shapes do not fit, or a domain has fewer than two features.
    """
    first, second = _checked(first, second)
    spreads = [features.var(0).sum() for features in (first, second)]
    moved = (first.mean(0) - second.mean(0)).square().sum() - spreads[0] / len(first) - spreads[1] / len(second)
    spread = (spreads[0] + spreads[1]) / 2
    if spread == 0:  # every feature of the class is one and the same in each domain
        return 0.0 if moved <= 0 else float("inf")
    return float((moved.clamp_min(0) / spread).sqrt())


def maximum_mean_discrepancy(first: Tensor, second: Tensor, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy under k(x, y) = exp(-|x - y|² / (2 bandwidth²)), without bias.

    Args:
        first: (N, D) features of one domain.
        second: (M, D) of the other.
        bandwidth: By default the median distance between any two features of both domains.

    Returns:
        0 for equal distributions (and as often a little below it as above), at most 2.

    Raises:
        ValueError: The shapes do not fit, or a domain has fewer than two features.

    Source: Gretton et al., JMLR 13, 2012, eq. 3 and sec. 8 for the bandwidth.
    """
    first, second = _checked(first, second)
    width = median_distance(torch.cat((first, second))) if bandwidth is None else bandwidth
    if width == 0:
        width = 1.0  # more than half of all features are equal, and any width tells these from the others

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return torch.cdist(left, right).square_().mul_(-1 / (2 * width * width)).exp_()

    def within(features: Tensor) -> Tensor:  # pairs of two different features only: this is what makes it unbiased
        count = len(features)
        return (kernel(features, features).sum() - count) / (count * (count - 1))

    return float(within(first) + within(second) - 2 * kernel(first, second).mean())


def median_distance(features: Tensor) -> float:
    """Median distance between two different ones of (N, D) features; of many, of an evenly spread thousand."""
    chosen = torch.linspace(0, len(features) - 1, min(len(features), MOST_FOR_MEDIAN)).long()
    return float(torch.pdist(features[chosen].double()).median())


class Probe(NamedTuple):
    """How well a linear classifier tells two domains apart on features that it did not learn from."""

    accuracy: float
    """Mean of the shares of each domain that it recognised: 0.5 is guessing, whatever the domains' sizes."""
    a_distance: float
    """2 (1 - 2 error): 0 for domains that cannot be told apart, 2 for those that always can; Ben-David et al. 2010."""


def domain_probe(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], penalty: float = PROBE_PENALTY) -> Probe:
    """Train a logistic classifier to tell two domains apart, and try it on features that it has not seen.

    Args:
        train: (N, D) features of either domain; brought to zero mean and unit variance by these same numbers.
        test: Features of the same two, of other images: cells of one image resemble each other.
        penalty: On half the squared weights; both domains weigh the same.

    Raises:
        ValueError: The shapes do not fit, or a set is empty.
    """
    sets = [features.double() for features in (*train, *test)]
    if any(features.ndim != 2 or len(features) == 0 or features.shape[1] != sets[0].shape[1] for features in sets):
        shapes = ", ".join(str(tuple(features.shape)) for features in sets)
        raise ValueError(f"Features have shapes {shapes}; expected (N, D) with one D and N of 1 or more.")
    seen = torch.cat(sets[:2])
    mean, deviation = seen.mean(0), seen.std(0, correction=0)
    scale = torch.where(deviation > 0, deviation, 1.0)
    first, second, *unseen = [(features - mean) / scale for features in sets]
    direction = _logistic_direction(first, second, penalty)
    scores = [features @ direction[:-1] + direction[-1] for features in unseen]
    # A score of exactly 0 names neither domain and counts as half right.
    right = [
        ((sign * score > 0).double() + 0.5 * (score == 0).double()).mean()
        for sign, score in zip((1, -1), scores, strict=True)
    ]
    accuracy = float((right[0] + right[1]) / 2)
    return Probe(accuracy, 2 * (1 - 2 * (1 - accuracy)))


def _logistic_direction(first: Tensor, second: Tensor, penalty: float) -> Tensor:
    """(D + 1,) weights and offset whose score is positive for the first domain; the convex optimum, by L-BFGS."""
    direction = torch.zeros(first.shape[1] + 1, dtype=first.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([direction], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-6)

    def closure() -> Tensor:
        optimizer.zero_grad()
        weights, offset = direction[:-1], direction[-1]
        errors = F.softplus(-(first @ weights + offset)).mean() + F.softplus(second @ weights + offset).mean()
        loss = errors / 2 + penalty / 2 * weights.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return direction.detach()


def _checked(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"Features have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected (N, D) and (M, D)."
        )
    if min(len(first), len(second)) < 2:
        raise ValueError(f"The domains have {len(first)} and {len(second)} features; a spread needs at least 2 each.")
    return first.double(), second.double()
