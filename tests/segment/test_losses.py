"""Segmentation losses, with the numbers worked out by hand.

Logits of (log p, log (1 - p)) give class 0 the probability p, so a pixel of class 0 costs -log p.
"""

import math

import pytest
import torch
from torch.nn import functional as F

from segment.classes import IGNORE_INDEX
from segment.losses import (
    LOSSES,
    boundary_and_dice,
    boundary_cross_entropy,
    cross_entropy,
    cross_entropy_and_dice,
    dice_loss,
    focal_loss,
    imitation,
    inverse_log_weights,
    ohem_cross_entropy,
    weighted_cross_entropy,
)

WEIGHTS = [None, torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])]


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


def test_focal_loss_passes_over_what_is_sure():
    # (1 - 0.5)^2 log 2 = 0.25 log 2 and (1 - 0.25)^2 2 log 2 = 1.125 log 2; their mean is 0.6875 log 2.
    loss = focal_loss(logits_of([0.5, 0.25, 0.3]), torch.tensor([[[0, 0, IGNORE_INDEX]]]))
    assert loss.item() == pytest.approx(0.6875 * math.log(2))


def test_focal_loss_without_focusing_is_cross_entropy():
    logits, label_map = logits_of([0.5, 0.2, 0.9]), torch.tensor([[[0, 1, IGNORE_INDEX]]])
    assert focal_loss(logits, label_map, focusing=0.0).item() == pytest.approx(cross_entropy(logits, label_map).item())


def test_dice_worked_out_by_hand():
    # Class 0: 2 * 0.8 / (1 + 0.8^2 + 0.4^2) = 1.6 / 1.8. Class 1: 2 * 0.6 / (1 + 0.2^2 + 0.6^2) = 1.2 / 1.4.
    label_map = torch.tensor([[[0, 1, IGNORE_INDEX]]])
    assert dice_loss(logits_of([0.8, 0.4, 0.5]), label_map).item() == pytest.approx(1 - (1.6 / 1.8 + 1.2 / 1.4) / 2)
    # Weights 1 and 3: class 1 counts three times.
    weighted = dice_loss(logits_of([0.8, 0.4, 0.5]), label_map, torch.tensor([1.0, 3.0]))
    assert weighted.item() == pytest.approx(1 - (1.6 / 1.8 + 3 * 1.2 / 1.4) / 4)


def test_dice_leaves_out_classes_that_no_pixel_has():
    # Of class 0 alone: 2 * (0.8 + 0.4) / (2 + 0.64 + 0.16) = 2.4 / 2.8.
    loss = dice_loss(logits_of([0.8, 0.4]), torch.tensor([[[0, 0]]]))
    assert loss.item() == pytest.approx(1 - 2.4 / 2.8)


def test_dice_of_the_truth_is_zero_and_of_the_opposite_one():
    label_map = torch.tensor([[[0, 1, 1]]])
    logits = 100 * F.one_hot(label_map, 2).permute(0, 3, 1, 2).float()
    assert dice_loss(logits, label_map).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(-logits, label_map).item() == pytest.approx(1, abs=1e-6)


def test_half_of_the_boundary_loss_is_of_the_pixels_at_edges():
    # Losses in log 2: 1 1 2 1, their mean 5/4; the two in the middle of 0 0 | 0 1 lie at the edge: 2 and 1, mean 3/2.
    loss = boundary_cross_entropy(logits_of([0.5, 0.5, 0.25, 0.5]), torch.tensor([[[0, 0, 0, 1]]]))
    assert loss.item() == pytest.approx((0.5 * 5 / 4 + 0.5 * 3 / 2) * math.log(2))


def test_an_image_without_edges_has_half_a_boundary_loss():
    loss = boundary_cross_entropy(logits_of([0.5, 0.5]), torch.tensor([[[0, 0]]]))
    assert loss.item() == pytest.approx(0.5 * math.log(2))


def test_a_border_to_ignored_pixels_is_no_edge():
    loss = boundary_cross_entropy(logits_of([0.5, 0.5, 0.5]), torch.tensor([[[0, IGNORE_INDEX, 1]]]))
    assert loss.item() == pytest.approx(0.5 * math.log(2))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_combined_losses_are_sums(weights):
    logits, label_map = logits_of([0.7, 0.2, 0.4]), torch.tensor([[[0, 1, IGNORE_INDEX]]])
    both = cross_entropy(logits, label_map, weights) + dice_loss(logits, label_map, weights)
    torch.testing.assert_close(cross_entropy_and_dice(logits, label_map, weights), both)
    both = boundary_cross_entropy(logits, label_map, weights) + dice_loss(logits, label_map, weights)
    torch.testing.assert_close(boundary_and_dice(logits, label_map, weights), both)


# --- weights of classes ----------------------------------------------------------------------------------


def test_weights_make_a_weighted_mean_as_pytorch_has_it():
    # Class 0 costs log 2 once, class 1 (probability 0.75) -log 0.75 three times, over 4.
    weights, label_map = torch.tensor([1.0, 3.0]), torch.tensor([[[0, 1, IGNORE_INDEX]]])
    loss = cross_entropy(logits_of([0.5, 0.25, 0.1]), label_map, weights)
    assert loss.item() == pytest.approx((math.log(2) - 3 * math.log(0.75)) / 4)
    theirs = F.cross_entropy(logits_of([0.5, 0.25, 0.1]), label_map, weights, ignore_index=IGNORE_INDEX)
    torch.testing.assert_close(loss, theirs)


def test_hard_pixels_are_found_without_weights_and_then_weighed():
    # 0.9 is learnt; 0.5 of class 0 costs log 2, probability 0.25 of class 1 (0.75 of class 0) costs 2 log 2.
    label_map = torch.tensor([[[0, 0, 1]]])
    loss = ohem_cross_entropy(logits_of([0.9, 0.5, 0.75]), label_map, torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx((1 + 3 * 2) / 4 * math.log(2))
    # All learnt: of three pixels the hardest one stays, and its weight cancels.
    loss = ohem_cross_entropy(logits_of([0.9, 0.8, 0.1]), label_map, torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(-math.log(0.8))


@pytest.mark.parametrize("name", LOSSES)
def test_the_size_of_weights_does_not_matter(name):
    torch.manual_seed(0)
    logits, label_map = torch.randn(2, 4, 6, 6), torch.randint(0, 4, (2, 6, 6))
    weights = torch.rand(4) + 0.1
    torch.testing.assert_close(
        LOSSES[name](logits, label_map, weights), LOSSES[name](logits, label_map, 1000 * weights)
    )
    torch.testing.assert_close(LOSSES[name](logits, label_map, torch.ones(4)), LOSSES[name](logits, label_map, None))


def test_inverse_log_weights():
    # 1 / ln 1.02 = 50.498, 1 / ln 1.52 = 2.3883, 1 / ln 2.02 = 1.4223.
    weights = inverse_log_weights(torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(weights, torch.tensor([50.498, 2.3883, 1.4223]), atol=1e-3, rtol=1e-4)


# --- what holds for all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("name", LOSSES)
def test_a_crop_without_a_valid_pixel_costs_zero_and_teaches_nothing(name, weights):
    logits = logits_of([0.5, 0.25])
    loss = LOSSES[name](logits, torch.full((1, 1, 2), IGNORE_INDEX), weights)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("name", LOSSES)
def test_pixels_of_classes_that_weigh_nothing_cost_nothing(name):
    logits = logits_of([0.5, 0.25])
    loss = LOSSES[name](logits, torch.zeros(1, 1, 2, dtype=torch.int64), torch.tensor([0.0, 1.0]))
    loss.backward()
    assert loss.item() == 0 and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_have_no_gradient_and_others_towards_the_truth(name):
    logits = logits_of([0.5, 0.25])
    LOSSES[name](logits, torch.tensor([[[0, IGNORE_INDEX]]]), None).backward()
    assert logits.grad[..., 1].abs().max() == 0
    towards, away = logits.grad[0, :, 0, 0]
    assert towards < 0 < away
    if name in ("cross_entropy", "ohem"):  # softmax minus one-hot: 0.5 - 1 and 0.5 - 0
        torch.testing.assert_close(logits.grad[0, :, 0, 0], torch.tensor([-0.5, 0.5]))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_where_the_network_is_sure_and_wrong(name):
    logits = torch.tensor([-300.0, 300.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2).clone().requires_grad_()
    loss = LOSSES[name](logits, torch.zeros(1, 2, 2, dtype=torch.int64), None)
    loss.backward()
    assert loss.isfinite() and loss > 0 and logits.grad.isfinite().all()


def test_the_mixed_loss_by_hand():
    """Two pixels of log 3 each, weights 1 and 1/4: log 3 x (1 + 1/4) / 2."""
    logits, label_map = torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 2]]])
    loss = weighted_cross_entropy(logits, label_map, torch.tensor([[[1.0, 0.25]]]))
    assert loss.item() == pytest.approx(1.0986123 * 1.25 / 2)


def test_an_ignored_pixel_costs_nothing_and_counts_in_the_mean():
    logits, label_map = torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 255]]])
    assert weighted_cross_entropy(logits, label_map, torch.ones(1, 1, 2)).item() == pytest.approx(1.0986123 / 2)


def test_imitation_by_hand():
    """The teacher says (3/4, 1/4), the network (1/2, 1/2): 3/4 log(3/2) + 1/4 log(1/2) = 0.1308."""
    teacher = torch.tensor([0.75, 0.25]).log().view(1, 2, 1, 1)
    logits = torch.zeros(1, 2, 1, 1, requires_grad=True)
    loss = imitation(logits, teacher)
    assert loss.item() == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    loss.backward()
    torch.testing.assert_close(logits.grad.flatten(), torch.tensor([-0.25, 0.25]))  # p - q: towards the teacher


def test_imitation_is_the_mean_over_pixels():
    """Of four pixels, in two images, one is not as the teacher says: a quarter of its divergence."""
    teacher = torch.zeros(2, 2, 1, 2)
    teacher[0, :, 0, 0] = torch.tensor([0.75, 0.25]).log()
    loss = imitation(torch.zeros(2, 2, 1, 2), teacher)
    assert loss.item() == pytest.approx((0.75 * math.log(1.5) + 0.25 * math.log(0.5)) / 4)


def test_imitation_at_a_temperature_by_hand():
    """At T = 2 the teacher's logits (log 9, 0) become (log 3, 0), that is (3/4, 1/4); the loss counts four times."""
    teacher = torch.tensor([math.log(9.0), 0.0]).view(1, 2, 1, 1)
    loss = imitation(torch.zeros(1, 2, 1, 1), teacher, 2.0)
    assert loss.item() == pytest.approx(4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5)))
