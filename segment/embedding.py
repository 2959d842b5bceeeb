"""Many-dimensional features as points in the plane: by principal components and by t-SNE.

PCA shows how features lie on the whole and keeps distances as far as two axes can; t-SNE shows who is whose neighbour,
and neither sizes nor distances of its clusters mean anything. Both give the same points again for the same features.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

ROWS = 64
"""Rows of a pairwise matrix that are worked on at once: with some thousands of columns they fit into a core's cache."""

EXAGGERATION, EXAGGERATED_STEPS = 12.0, 250
"""Early exaggeration. Differs from the paper's 4 for 50 steps: the author's later code takes these."""

BISECTIONS = 60


class Components(NamedTuple):
    """Principal components of a set of features."""

    points: Tensor
    """(N, dimensions) float64: the centred features along the axes."""
    shares: Tensor
    """(dimensions,) float64: of the variance, that along each axis; falling."""


def principal_components(features: Tensor, dimensions: int = 2) -> Components:
    """Features along the axes of their largest variance, every axis with a fixed sign.

    Args:
        features: (N, D), any float type.
        dimensions: How many axes; those that the features do not have are zero.

    Raises:
        ValueError: Fewer than two features, or a value is not finite.
    """
    _refuse_unusable(features)
    centred = features.double() - features.double().mean(0)
    left, scales, right = torch.linalg.svd(centred, full_matrices=False)
    # An axis and its opposite explain the same; the largest weight of each is made positive.
    largest = right.gather(1, right.abs().argmax(1, keepdim=True))
    points = left * scales * torch.where(largest < 0, -1.0, 1.0).T
    variances = scales.square()
    shares = variances / variances.sum().clamp_min(torch.finfo(variances.dtype).tiny)
    missing = max(0, dimensions - len(scales))
    points, shares = torch.nn.functional.pad(points, (0, missing)), torch.nn.functional.pad(shares, (0, missing))
    return Components(points[:, :dimensions], shares[:dimensions])


def tsne(
    features: Tensor,
    perplexity: float = 30.0,
    steps: int = 750,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Points in the plane whose neighbours are those of the features; exact, no approximation of far points.

    Starts from the two principal components, so it draws nothing at random and keeps more of the large-scale order.

    Args:
        features: (N, D), N some thousands at most: time and memory grow with N * N.
        perplexity: Of each feature's neighbourhood, about the number of neighbours that count; below N - 1.
        steps: Of gradient descent; the first 250 (half of them, if fewer than 500) with exaggerated attraction.
        progress: Called after every step with the steps done and their total.

    Returns:
        (N, 2) of the features' type, centred.

    Raises:
        ValueError: Too few features for the perplexity, or a value is not finite.

    Source: van der Maaten and Hinton, JMLR 9, 2008. Differs: PCA to start from, a step size that grows with N (Belkina
        et al. 2019) instead of 100.
    """
    affinities = neighbour_affinities(features, perplexity)
    points = principal_components(features).points
    points = (points / points[:, 0].std().clamp_min(1e-12) * 1e-4).to(affinities)
    exaggerated = min(EXAGGERATED_STEPS, steps // 2)
    step_size = max(len(features) / EXAGGERATION / 4, 50.0)
    velocity, gains = torch.zeros_like(points), torch.ones_like(points)
    affinities *= EXAGGERATION
    for step in range(steps):
        if step == exaggerated:
            affinities /= EXAGGERATION
        gradient = divergence_gradient(affinities, points)
        # A coordinate that keeps its direction is hurried, one that swings is slowed (sec. 3.4; Jacobs 1988).
        gains = torch.where(gradient * velocity < 0, gains + 0.2, gains * 0.8).clamp_min(0.01)
        velocity = (0.5 if step < exaggerated else 0.8) * velocity - step_size * gains * gradient
        points = points + velocity
        points = points - points.mean(0)
        progress(step + 1, steps)
    return points


def neighbour_affinities(features: Tensor, perplexity: float) -> Tensor:
    """Symmetric probabilities p_ij with which two features are neighbours; sec. 2 and 3.1 of the paper.

    Args:
        features: (N, D).
        perplexity: That of every conditional distribution p_j|i, met to 0.01 %; too many equal features cannot meet it.

    Returns:
        (N, N) of the features' type, zero on the diagonal; the sum is 1.
    """
    _refuse_unusable(features)
    count = len(features)
    if not 1 <= perplexity < count - 1:
        raise ValueError(
            f"The perplexity is {perplexity:g}; expected 1 or more and less than {count - 1} for {count} rows."
        )
    result = features.new_empty(count, count)
    for rows, distances in _squared_distances(features.double()):
        result[rows] = conditional_affinities(distances, perplexity, rows.start).to(result)
    for start in range(0, count, ROWS):  # in place: a second matrix of this size would be felt
        rows = slice(start, start + ROWS)
        both = (result[rows, start:] + result[start:, rows].T) / (2 * count)
        result[rows, start:] = both
        result[start:, rows] = both.T
    return result


def conditional_affinities(distances: Tensor, perplexity: float, first: int = 0) -> Tensor:
    """p_j|i of some rows: a normal distribution about each feature, as wide as the perplexity asks.

    Args:
        distances: (R, N) float64 squared distances of features `first`, `first + 1`, ... to all.
        perplexity: 2 to the power of a row's entropy in bits.
        first: Index of the first row; a feature is no neighbour of itself.

    Returns:
        (R, N), every row of which sums to 1. The precision is found by bisection.
    """
    rows = torch.arange(len(distances))
    itself = torch.zeros_like(distances, dtype=torch.bool)
    itself[rows, first + rows] = True
    distances = distances.masked_fill(itself, math.inf)
    distances = distances - distances.min(1, keepdim=True).values  # changes no p_j|i, and exp() cannot vanish for all
    others = distances.masked_fill(itself, 0.0)
    precision = (len(distances[0]) - 1) / others.sum(1, keepdim=True).clamp_min(1e-12)
    low, high = torch.zeros_like(precision), torch.full_like(precision, math.inf)
    for _ in range(BISECTIONS):
        weights = torch.exp(-precision * others).masked_fill_(itself, 0.0)
        total = weights.sum(1, keepdim=True)
        entropy = total.log() + precision * (weights * others).sum(1, keepdim=True) / total
        excess = entropy - math.log(perplexity)
        if (excess.abs() < 1e-4).all():
            break
        low, high = torch.where(excess > 0, precision, low), torch.where(excess > 0, high, precision)
        precision = torch.where(high.isinf(), precision * 2, (low + high) / 2)
    return weights / total


def divergence(affinities: Tensor, points: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the points' affinities from the features', what t-SNE makes small; a scalar.

    Args:
        affinities: (N, N) p_ij, zero on the diagonal.
        points: (N, 2).
    """
    squares = (points[:, None] - points).square().sum(-1)
    total = (1 / (1 + squares)).sum() - len(points)  # without the pairs of a point with itself
    return (torch.xlogy(affinities, affinities) + affinities * torch.log1p(squares)).sum() + total.log()


def divergence_gradient(affinities: Tensor, points: Tensor) -> Tensor:
    """Gradient of `divergence` with respect to the points, (N, 2); eq. 5 of the paper.

    With weights w_ij = 1 / (1 + |y_i - y_j|²) and their sum Z it is 4 sum_j (p_ij - w_ij / Z) w_ij (y_i - y_j). Z is
    known only after all pairs were seen, so attraction and repulsion are summed apart, a few rows at a time.
    """
    ones = torch.ones_like(points[:, :1])
    squares = points.square().sum(1, keepdim=True)
    beside = torch.cat((points, ones), 1)  # (N, 3): one product gives sum_j w_ij y_j and sum_j w_ij
    left, right = torch.cat((-2 * points, squares + 1, ones), 1), torch.cat((points, ones, squares), 1).T.contiguous()
    attraction, repulsion = torch.empty_like(beside), torch.empty_like(beside)
    total = points.new_zeros((), dtype=torch.float64)
    for start in range(0, len(points), ROWS):
        rows = slice(start, start + ROWS)
        weights = (left[rows] @ right).clamp_min_(1).reciprocal_()
        weights.diagonal(start).zero_()
        total += weights.sum()
        torch.mm(weights * affinities[rows], beside, out=attraction[rows])
        torch.mm(weights.square_(), beside, out=repulsion[rows])
    forces = attraction - repulsion / total.to(points)
    return 4 * (forces[:, -1:] * points - forces[:, :-1])


def _squared_distances(features: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some rows at a time, and their squared distances to all rows."""
    centred = features - features.mean(0)
    squares = centred.square().sum(1)
    for start in range(0, len(features), ROWS):
        rows = slice(start, min(start + ROWS, len(features)))
        yield rows, (squares[rows, None] + squares - 2 * centred[rows] @ centred.T).clamp_min_(0)


def _refuse_unusable(features: Tensor) -> None:
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"Features have shape {tuple(features.shape)}; expected (N, D) with N of 2 or more.")
    if not features.isfinite().all():
        raise ValueError("A feature is not finite; look at the checkpoint that it comes from.")
