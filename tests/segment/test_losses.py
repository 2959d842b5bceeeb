"""Segmentation losses, with the numbers worked out by hand.

Logits of (log p, log (1 - p)) give class 0 the probability p, so a pixel of class 0 costs -log p.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from segment.classes import IGNORE_INDEX
from segment.losses import LOSSES, cross_entropy, ohem_cross_entropy


def logits_of(probabilities):
    p = torch.tensor(probabilities)
    return torch.stack([p.log(), (1 - p).log()]).view(1, 2, 1, -1).requires_grad_()


def test_cross_entropy_is_the_mean_over_valid_pixels():
    # -log 0.5 and -log 0.25 count, the third pixel is ignored: (log 2 + 2 log 2) / 2 = 1.5 log 2.
    loss = cross_entropy(logits_of([0.5, 0.25, 0.01]), torch.tensor([[[0, 0, IGNORE_INDEX]]]))
    assert loss.item() == pytest.approx(1.5 * math.log(2))


def test_cross_entropy_equals_pytorch_where_that_is_finite():
    torch.manual_seed(0)
    logits, label_map = torch.randn(2, 19, 8, 8), torch.randint(0, 19, (2, 8, 8))
    label_map[0, :4] = IGNORE_INDEX
    torch.testing.assert_close(
        cross_entropy(logits, label_map), F.cross_entropy(logits, label_map, ignore_index=IGNORE_INDEX)
    )


def test_ohem_keeps_the_pixels_below_the_threshold():
    # 0.9 and 0.8 are learnt; 0.5 and 0.25 are hard and more than 1/16 of the pixels: 1.5 log 2 again.
    loss = ohem_cross_entropy(logits_of([0.9, 0.5, 0.8, 0.25]), torch.tensor([[[0, 0, 0, 0]]]))
    assert loss.item() == pytest.approx(1.5 * math.log(2))


def test_ohem_keeps_the_hardest_sixteenth_when_all_is_learnt():
    # Of 32 learnt pixels the two hardest stay: 0.80 and 0.75.
    loss = ohem_cross_entropy(logits_of([0.9] * 30 + [0.8, 0.75]), torch.zeros(1, 1, 32, dtype=torch.int64))
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.75)) / 2)


def test_ohem_counts_the_sixteenth_from_valid_pixels():
    # 32 of 64 pixels are valid, so again two stay and not four.
    label_map = torch.zeros(1, 1, 64, dtype=torch.int64)
    label_map[..., 32:] = IGNORE_INDEX
    loss = ohem_cross_entropy(logits_of([0.9] * 30 + [0.8, 0.75] + [0.1] * 32), label_map)
    assert loss.item() == pytest.approx(-(math.log(0.8) + math.log(0.75)) / 2)


def test_ohem_keeps_one_pixel_of_fewer_than_sixteen():
    loss = ohem_cross_entropy(logits_of([0.9, 0.8, 0.95]), torch.tensor([[[0, 0, 0]]]))
    assert loss.item() == pytest.approx(-math.log(0.8))


@pytest.mark.parametrize("name", LOSSES)
def test_a_crop_without_a_valid_pixel_costs_zero_and_teaches_nothing(name):
    logits = logits_of([0.5, 0.25])
    loss = LOSSES[name](logits, torch.full((1, 1, 2), IGNORE_INDEX))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_have_no_gradient_and_others_have(name):
    logits = logits_of([0.5, 0.25])
    LOSSES[name](logits, torch.tensor([[[0, IGNORE_INDEX]]])).backward()
    assert logits.grad[..., 1].abs().max() == 0
    # Softmax minus one-hot: 0.5 - 1 and 0.5 - 0.
    torch.testing.assert_close(logits.grad[0, :, 0, 0], torch.tensor([-0.5, 0.5]))
