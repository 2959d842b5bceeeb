"""Disagreement of two classifiers: numbers worked out by hand, and which way each loss pushes."""

import pytest
import torch

from segment.discrepancy import cosine_distance, weight_likeness


def test_cosine_distance_by_hand():
    """(1, 0) and (0, 1): no class in common. (0.6, 0.8) and itself: none. (1, 0) and (0.6, 0.8): cosine 0.6."""
    first = torch.tensor([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]]).T.view(1, 2, 1, 3)
    second = torch.tensor([[0.0, 1.0], [0.6, 0.8], [0.6, 0.8]]).T.view(1, 2, 1, 3)
    distance = cosine_distance(first, second)
    assert distance.shape == (1, 1, 1, 3)
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
