"""Style as means and deviations of channels: statistics and losses by hand, and which way gradients go."""

import pytest
import torch

from translate.channel_statistics import EPSILON, channel_statistics, content_loss, style_loss

FEATURES = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]], [[2.0, 2.0], [2.0, 2.0]]]])
"""One image of two channels: mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; mean 2 and variance 0."""


def test_statistics_by_hand():
    mean, deviation = channel_statistics(FEATURES)
    assert mean.tolist() == [[4.0, 2.0]]
    assert deviation[0].tolist() == pytest.approx([(5 + EPSILON) ** 0.5, EPSILON**0.5])


def test_statistics_are_each_images_own_and_float32():
    mean, deviation = channel_statistics(torch.cat([FEATURES, FEATURES + 10]).bfloat16())
    assert mean.tolist() == [[4.0, 2.0], [14.0, 12.0]] and mean.dtype == deviation.dtype == torch.float32
    assert torch.equal(deviation[0], deviation[1])


def test_a_channel_without_variance_has_a_gradient():
    features = FEATURES.clone().requires_grad_()
    channel_statistics(features)[1].sum().backward()
    assert features.grad.isfinite().all()


def test_content_by_hand():
    """Distances 1, 1, 1, 1 in one channel and 2, 0, 0, 0 in the other: (4 + 4) / 8."""
    other = FEATURES.clone()
    other[0, 0] += 1
    other[0, 1, 0, 0] -= 2
    assert content_loss(other, FEATURES).item() == 1.0


def test_style_by_hand():
    """Two layers. In the first means are off by 3 and 0, and deviations right: 9 / 2. In the second means are right;
    the deviation sqrt(5 + e) of one channel ought to be twice that, and the other's is right: (5 + e) / 2.
    """
    mean, deviation = channel_statistics(FEATURES)
    first = (mean + torch.tensor([[3.0, 0.0]]), deviation)
    second = (mean, deviation * torch.tensor([[2.0, 1.0]]))
    assert style_loss([FEATURES, FEATURES], [first, second]).item() == pytest.approx(4.5 + (5 + EPSILON) / 2)
    assert style_loss([FEATURES], [(mean, deviation)]).item() == 0


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        style_loss([FEATURES, FEATURES], [channel_statistics(FEATURES)])


def test_what_is_wanted_is_a_constant_and_descent_goes_there():
    features, wanted = FEATURES.clone().requires_grad_(), (FEATURES + 1).requires_grad_()
    (content_loss(features, wanted) + style_loss([features], [channel_statistics(wanted)])).backward()
    assert wanted.grad is None
    assert (features.grad < 0).all(), "all are too small"
