"""KID, FID and the sliced Wasserstein distance against numbers on paper and against torchmetrics' own mathematics."""

import math

import pytest
import torch
from torch import nn

from translate.quality.distances import (
    frechet_distance,
    kernel_distance,
    polynomial_discrepancy,
    sliced_wasserstein,
)


def features(rows, dimensions=6, shift=0.0, seed=0):
    return torch.randn(rows, dimensions, generator=torch.Generator().manual_seed(seed)) + shift


def test_discrepancy_worked_out_by_hand():
    """One dimension, k(x, y) = (xy + 1)³. {0, 1} against {1, 2}:
    within: k(0, 1) = 1, and k(1, 2) = 27; across: k(0,1) k(0,2) k(1,1) k(1,2) = 1, 1, 8, 27, mean 9.25.
    1 + 27 - 18.5 = 9.5."""
    assert float(polynomial_discrepancy(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))) == 9.5


def test_subsets_of_two_of_two_are_the_whole_set():
    assert kernel_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]), subsets=3) == (9.5, 0.0)


def test_kernel_distance_is_unbiased_about_zero():
    mean, deviation = kernel_distance(features(400), features(400, seed=1), subsets=50, subset_size=100)
    assert abs(mean) < deviation < 1
    apart, _ = kernel_distance(features(400), features(400, shift=1.0, seed=1), subsets=50, subset_size=100)
    assert apart > 10 * abs(mean)


def test_subsets_are_half_of_the_smaller_set():
    """Of everything they would all be equal, and their deviation 0."""
    arguments = features(40), features(30, seed=1)
    assert kernel_distance(*arguments) == kernel_distance(*arguments, subset_size=15)
    assert kernel_distance(*arguments)[1] > 0


def test_kernel_distance_depends_on_the_seed_alone():
    arguments = features(40), features(30, seed=1)
    assert kernel_distance(*arguments, subsets=5) == kernel_distance(*arguments, subsets=5)
    assert kernel_distance(*arguments, subsets=5) != kernel_distance(*arguments, subsets=5, seed=1)


def test_frechet_distance_worked_out_by_hand():
    """One dimension: {0, 2} has mean 1 and variance 2, {3, 3 + 2√8} mean 3 + √8 and variance 16.
    (2 + √8)² + (√2 - 4)² = 12 + 8√2 + 18 - 8√2 = 30."""
    far = 3 + 2 * math.sqrt(8)
    assert frechet_distance(torch.tensor([[0.0], [2.0]]), torch.tensor([[3.0], [far]])) == pytest.approx(30, abs=1e-5)


def test_frechet_distance_of_fewer_rows_than_dimensions_is_real():
    """Singular covariances: a general matrix root fails or turns complex here."""
    few = features(5, 64)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-4)
    assert frechet_distance(few, few + 0.5) == pytest.approx(64 * 0.25, rel=1e-4)


class AsTheyAre(nn.Module):
    """torchmetrics takes any module with `num_features`; this one hands it the vectors that came as images."""

    num_features = 6

    def forward(self, image):
        return image.flatten(1)


def fed(metric, first, second):
    metric.update(first[:, :, None, None], real=True)
    metric.update(second[:, :, None, None], real=False)
    return metric.compute()


def test_torchmetrics_agrees():
    pytest.importorskip("torchmetrics")
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    first, second = features(50), features(50, shift=0.3, seed=1)
    kid = KernelInceptionDistance(feature=AsTheyAre(), subsets=1, subset_size=50, normalize=True)
    assert kernel_distance(first, second, 1, 50)[0] == pytest.approx(float(fed(kid, first, second)[0]), abs=1e-5)
    fid = FrechetInceptionDistance(feature=AsTheyAre(), normalize=True, input_img_size=(6, 1, 1))
    assert frechet_distance(first, second) == pytest.approx(float(fed(fid, first, second)), rel=1e-4)


def test_sliced_wasserstein_in_one_dimension_worked_out_by_hand():
    """Every direction is +1 or -1: sorted {0, 1, 5} and {2, 2, 3} differ by 2, 1, 2; the mean is 5/3."""
    first, second = torch.tensor([[5.0], [0.0], [1.0]]), torch.tensor([[2.0], [3.0], [2.0]])
    assert sliced_wasserstein(first, second, projections=7) == pytest.approx(5 / 3)


def test_sliced_wasserstein_of_a_shift():
    """A shift by d along one of n axes is |d| times the mean |cosine|: sqrt(2 / pi n) nearly, for many dimensions."""
    points = features(200, 100)
    shifted = points.clone()
    shifted[:, 0] += 50.0
    expected = 50 * math.sqrt(2 / (math.pi * 100))
    assert sliced_wasserstein(points, shifted, 4096) == pytest.approx(expected, rel=0.05)
    assert sliced_wasserstein(points, points) == 0


def test_sets_of_different_sizes_are_drawn_down():
    points = torch.ones(7, 3)
    assert sliced_wasserstein(points, points[:4]) == 0


@pytest.mark.parametrize("measure", [kernel_distance, frechet_distance, sliced_wasserstein])
def test_what_cannot_be_compared_is_refused(measure):
    with pytest.raises(ValueError, match=r"expected \(N, D\) and \(M, D\)"):
        measure(torch.zeros(3, 2), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="at least 2 each"):
        measure(torch.zeros(1, 2), torch.zeros(3, 2))


def test_subsets_larger_than_a_set_are_refused():
    with pytest.raises(ValueError, match="Subsets of 9 rows cannot be drawn from 4; expected 2 to 4"):
        kernel_distance(features(4), features(20), subset_size=9)
