"""Disagreement of two classifiers: numbers worked out by hand, and which way each loss pushes."""

import pytest
import torch

from segment.adaptation.discrepancy import cosine_distance, sliced_wasserstein, unit_directions, weight_likeness


def test_cosine_distance_by_hand():
    """(1, 0) and (0, 1): no class in common. (0.6, 0.8) and itself: none. (1, 0) and (0.6, 0.8): cosine 0.6."""
    first = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]]).T.view(1, 2, 3, 1)
    second = torch.tensor([[0.0, 1.0], [0.6, 0.8], [0.6, 0.8]]).T.view(1, 2, 3, 1)
    distance = cosine_distance(first, second)
    assert distance.shape == (1, 1, 3, 1)
    torch.testing.assert_close(distance.flatten(), torch.tensor([1.0, 0.0, 0.4]))


def test_each_image_of_a_batch_has_its_own_distances():
    """The authors' code takes single images."""
    first, second = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    alone = [cosine_distance(first[i : i + 1], second[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(cosine_distance(first, second), torch.cat(alone))


def test_half_precision_is_computed_in_float32():
    halves = torch.rand(1, 3, 2, 2).bfloat16(), torch.rand(1, 3, 2, 2).bfloat16()
    assert cosine_distance(*halves).dtype == torch.float32


def test_likeness_of_weights_by_hand():
    """3 x 4 + 4 x 3 = 24 over 5 x 5, plus 1; opposite weights have none."""
    first = torch.tensor([3.0, 4.0])
    assert weight_likeness(first, torch.tensor([4.0, 3.0])).item() == pytest.approx(1.96)
    assert weight_likeness(first, -2 * first).item() == pytest.approx(0.0, abs=1e-6)


def test_descending_drives_weights_apart():
    first, second = torch.tensor([1.0, 0.5], requires_grad=True), torch.tensor([0.5, 1.0])
    before = weight_likeness(first, second)
    before.backward()
    assert weight_likeness(first.detach() - 0.1 * first.grad, second) < before


def test_sliced_wasserstein_by_hand():
    """Along the first axis the points are at 0 and 1, and at 0.7 and 0.5: in order, 0.5 and 0.3 apart.

    Along the second at 1 and 0, and at 0.3 and 0.5: 0.3 and 0.5 apart. The mean of the squares is 0.17.
    """
    first = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    second = torch.tensor([[[0.7, 0.3], [0.5, 0.5]]])
    assert sliced_wasserstein(first, second, torch.eye(2)).item() == pytest.approx(0.17)


def test_which_pixel_says_it_is_all_the_same():
    sample = torch.rand(2, 50, 3)
    shuffled = sample[:, torch.randperm(50)]
    directions = unit_directions(3, 8, torch.Generator().manual_seed(0))
    assert sliced_wasserstein(sample, shuffled, directions).item() == pytest.approx(0, abs=1e-12)


def test_each_image_is_compared_with_itself():
    """Points that equal those of the other image are as far apart as the images are."""
    sample = torch.stack([torch.zeros(4, 1), torch.ones(4, 1)])
    assert sliced_wasserstein(sample, sample.flip(0), torch.ones(1, 1)).item() == 1


def test_directions_are_of_length_one_and_a_function_of_the_generator():
    drawn = [unit_directions(5, 7, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    torch.testing.assert_close(drawn[0].norm(dim=0), torch.ones(7))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_descending_brings_the_heaps_together():
    first, second = torch.rand(1, 20, 3).requires_grad_(), torch.rand(1, 20, 3)
    directions = unit_directions(3, 16, torch.Generator().manual_seed(0))
    before = sliced_wasserstein(first, second, directions)
    before.backward()
    assert sliced_wasserstein(first.detach() - first.grad, second, directions) < before


def test_autocast_does_not_round_what_is_sorted():
    """1 and 1.001 are the same in bf16."""
    first, second = torch.full((1, 4, 1), 1.0), torch.full((1, 4, 1), 1.001)
    with torch.autocast("cpu", torch.bfloat16):
        assert sliced_wasserstein(first, second, torch.ones(1, 1)).item() == pytest.approx(1e-6, rel=1e-3)
