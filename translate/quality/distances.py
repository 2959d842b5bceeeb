"""Distances between two sets of feature vectors, whoever made the features.

KID is unbiased and is the one to read with few frames; FID is biased upwards with fewer than thousands. A figure means
something only beside the name of the network that made the features.
"""

import torch
from torch import Tensor


def kernel_distance(
    first: Tensor, second: Tensor, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> tuple[float, float]:
    """Kernel distance (KID): the unbiased squared maximum mean discrepancy under a cubic kernel, over random subsets.

    Args:
        first: (N, D) features of one set.
        second: (M, D) features of the other.
        subsets: How many pairs of subsets are drawn, without replacement within each.
        subset_size: Rows of each; by default half of the smaller set, at most 1000: subsets of everything would all be
            equal and their deviation 0.
        seed: Of the draws.

    Returns:
        Mean and standard deviation over the subsets. May be negative: it is unbiased about 0 for equal distributions.

    Raises:
        ValueError: The shapes do not fit, or a set has fewer than two rows, or fewer than `subset_size`.

    Source: Bińkowski et al., ICLR 2018 (arXiv:1801.01401), sec. 3 and eq. 4.
    """
    first, second = _checked(first, second)
    fewest = min(len(first), len(second))
    size = min(1000, max(2, fewest // 2)) if subset_size is None else subset_size
    if not 2 <= size <= fewest:
        raise ValueError(f"Subsets of {size} rows cannot be drawn from {fewest}; expected 2 to {fewest}.")
    generator = torch.Generator().manual_seed(seed)

    def drawn(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=generator)[:size].to(features.device)]

    values = torch.stack([polynomial_discrepancy(drawn(first), drawn(second)) for _ in range(subsets)])
    return float(values.mean()), float(values.std(correction=0))


def polynomial_discrepancy(first: Tensor, second: Tensor) -> Tensor:
    """Unbiased squared maximum mean discrepancy of (N, D) and (M, D) under k(x, y) = (x·y / D + 1)³; scalar float64."""
    first, second = _checked(first, second)
    dimensions = first.shape[1]

    def kernel(left: Tensor, right: Tensor) -> Tensor:
        return (left @ right.T / dimensions + 1) ** 3

    def within(features: Tensor) -> Tensor:  # pairs of different rows only: this is what makes it unbiased
        similarity, rows = kernel(features, features), len(features)
        return (similarity.sum() - similarity.diagonal().sum()) / (rows * (rows - 1))

    return within(first) + within(second) - 2 * kernel(first, second).mean()


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared Fréchet distance of the normal distributions with the two sets' means and covariances (FID).

    Args:
        first: (N, D) features of one set.
        second: (M, D) features of the other.

    Returns:
        |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), at least 0.

    Raises:
        ValueError: The shapes do not fit, or a set has fewer than two rows.

    Source: Heusel et al., NeurIPS 2017 (arXiv:1706.08500), eq. 6.
        Differs: the trace of the root is taken from the eigenvalues of the symmetric C1^½ C2 C1^½, which are real and
        not negative; a general matrix root of singular covariances (N <= D) returns complex numbers, or none.
    """
    first, second = _checked(first, second)
    covariances = torch.atleast_2d(torch.cov(first.T)), torch.atleast_2d(torch.cov(second.T))
    values, vectors = torch.linalg.eigh(covariances[0])
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    trace_of_root = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    means = (first.mean(0) - second.mean(0)).square().sum()
    distance = means + covariances[0].trace() + covariances[1].trace() - 2 * trace_of_root
    return max(float(distance), 0.0)


def sliced_wasserstein(first: Tensor, second: Tensor, projections: int = 512, seed: int = 0) -> float:
    """Mean distance between the two sets' sorted projections onto random directions.

    Args:
        first: (N, D) descriptors of one set.
        second: (M, D) descriptors of the other; the larger set is drawn down to the smaller one.
        projections: Random directions, evenly distributed over the sphere.
        seed: Of the directions and the draw.

    Returns:
        Mean over directions of the mean absolute difference of order statistics.

    Raises:
        ValueError: The shapes do not fit, or a set has fewer than two rows.

    Source: Rabin et al., SSVM 2011; as used by Karras et al., ICLR 2018 (arXiv:1710.10196), sec. 5.
    """
    _check(first, second)
    generator = torch.Generator().manual_seed(seed)
    rows = min(len(first), len(second))
    first, second = (_drawn_down(features.float(), rows, generator) for features in (first, second))
    directions = torch.randn(first.shape[1], projections, generator=generator).to(first.device)
    directions = directions / directions.norm(dim=0)
    differences = [
        (torch.sort(first @ some, dim=0).values - torch.sort(second @ some, dim=0).values).abs().mean(0)
        for some in directions.split(64, dim=1)  # all at once would be a gigabyte for a set of usual size
    ]
    return float(torch.cat(differences).mean())


def _drawn_down(features: Tensor, rows: int, generator: torch.Generator) -> Tensor:
    if len(features) == rows:
        return features
    return features[torch.randperm(len(features), generator=generator)[:rows].to(features.device)]


def _checked(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float64: the cube of a product of features loses digits that the difference needs."""
    _check(first, second)
    return first.double(), second.double()


def _check(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(
            f"Features have shapes {tuple(first.shape)} and {tuple(second.shape)}; expected (N, D) and (M, D)."
        )
    if min(len(first), len(second)) < 2:
        raise ValueError(f"The sets have {len(first)} and {len(second)} rows; a spread needs at least 2 each.")
