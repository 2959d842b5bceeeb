"""Being sure: values and gradients worked out by hand."""

import pytest
import torch

from segment.certainty import image_wise_weights, maximum_squares


def test_maximum_squares_by_hand():
    """Two pixels of two classes: (1/2, 1/2) and (1, 0). Squares 1/4, 1/4, 1, 0: mean 3/8, half of it with a minus."""
    probabilities = torch.tensor([[[[0.5, 1.0]], [[0.5, 0.0]]]])
    assert maximum_squares(probabilities).item() == pytest.approx(-3 / 16)


def test_the_gradient_is_linear_in_the_probability_and_makes_sure_classes_surer():
    """-p over the number of values: what sets it apart from entropy, whose gradient grows without bound."""
    probabilities = torch.tensor([[[[0.8]], [[0.2]]]], requires_grad=True)
    maximum_squares(probabilities).backward()
    torch.testing.assert_close(probabilities.grad, -probabilities.detach() / 2)


def test_image_wise_weights_by_hand():
    """Four pixels, three of class 0 and one of class 1; with power 1: 1/3 and 1, with power 0: 1/4 for all."""
    seen = torch.tensor([[[0, 0], [0, 1]]])
    probabilities = torch.nn.functional.one_hot(seen, 2).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(image_wise_weights(probabilities, 1.0), torch.tensor([[[1 / 3, 1 / 3], [1 / 3, 1.0]]]))
    torch.testing.assert_close(image_wise_weights(probabilities, 0.0), torch.full((1, 2, 2), 0.25))
    expected = 1 / (3**0.2 * 4**0.8)
    assert image_wise_weights(probabilities).flatten()[0].item() == pytest.approx(expected)


def test_frames_of_a_batch_are_counted_apart():
    one = torch.rand(1, 3, 4, 4).softmax(1)
    other = torch.rand(1, 3, 4, 4).softmax(1)
    both = image_wise_weights(torch.cat([one, other]))
    torch.testing.assert_close(both, torch.cat([image_wise_weights(one), image_wise_weights(other)]))


def test_weighted_squares_by_hand():
    """One frame, one class sure in both pixels, weights 1/4: (1/4 + 1/4) / (2 x 1 x 2)."""
    probabilities = torch.tensor([[[[1.0, 1.0]], [[0.0, 0.0]]]])
    assert maximum_squares(probabilities, torch.full((1, 1, 2), 0.25)).item() == pytest.approx(-0.125)
