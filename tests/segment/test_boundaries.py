"""Boundaries of label maps drawn by hand, and the balanced loss with its numbers worked out."""

import math

import pytest
import torch

from segment.boundaries import balanced_binary_cross_entropy, boundary_map
from segment.classes import IGNORE_INDEX

X = IGNORE_INDEX


def row(*labels):
    return torch.tensor([[labels]])


def test_a_boundary_is_as_wide_on_both_sides():
    assert boundary_map(row(7, 7, 7, 7, 2, 2, 2, 2)).tolist() == [[[0, 0, 1, 1, 1, 1, 0, 0]]]
    assert boundary_map(row(7, 7, 7, 7, 2, 2, 2, 2), radius=1).tolist() == [[[0, 0, 0, 1, 1, 0, 0, 0]]]


def test_boundaries_reach_around_corners():
    label_map = torch.zeros(1, 4, 4, dtype=torch.int64)
    label_map[0, 0, 0] = 18
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert boundary_map(label_map, radius=1).tolist() == [expected]


def test_two_classes_between_which_the_mean_is_a_third_differ():
    """Ids are names: 0 beside 18 is no more of a boundary than 8 beside 9."""
    assert torch.equal(boundary_map(row(8, 8, 9, 9, 8)), boundary_map(row(0, 0, 18, 18, 0)))


def test_one_class_has_no_boundary_not_even_at_the_rim():
    assert not boundary_map(torch.full((2, 5, 6), 3)).any()


def test_ignored_pixels_are_ignored_and_make_no_boundary():
    assert boundary_map(row(5, 5, X, X, X, X, 5, 5)).tolist() == [[[0, 0, X, X, X, X, 0, 0]]]


def test_classes_meet_across_a_narrow_ignored_strip():
    """A single ignored pixel lies on the boundary itself; the classes beside it are still within reach."""
    assert boundary_map(row(5, 5, 5, X, 6, 6, 6)).tolist() == [[[0, 0, 1, X, 1, 0, 0]]]


def test_a_map_of_ignored_pixels_stays_one():
    assert torch.equal(boundary_map(torch.full((1, 3, 3), X)), torch.full((1, 3, 3), X))


def logits_of(*values):
    return torch.tensor(values).view(1, 1, 1, -1).requires_grad_()


def test_each_kind_weighs_what_the_other_has():
    # One of four pixels is a boundary: it weighs 3/4, the others 1/4 each. At logit 0 each costs log 2:
    # (3/4 + 3 * 1/4) log 2 / 4 = 3/8 log 2.
    loss = balanced_binary_cross_entropy(logits_of(0.0, 0.0, 0.0, 0.0), row(1, 0, 0, 0))
    assert loss.item() == pytest.approx(3 / 8 * math.log(2))


def test_the_loss_of_sure_answers():
    # Probability 1/4 of a boundary for each: log 4 for the one that is one, log 4/3 for the one that is none;
    # both weigh 1/2 in a mean over two pixels: (log 4 + log 4/3) / 4.
    logit = math.log(1 / 3)
    loss = balanced_binary_cross_entropy(logits_of(logit, logit), row(1, 0))
    assert loss.item() == pytest.approx((math.log(4) + math.log(4 / 3)) / 4)


def test_ignored_pixels_neither_cost_nor_count():
    logits = logits_of(0.0, 9.0, 0.0, 0.0, 0.0)
    loss = balanced_binary_cross_entropy(logits, row(1, X, 0, 0, 0))
    loss.backward()
    assert loss.item() == pytest.approx(3 / 8 * math.log(2))
    assert logits.grad[..., 1] == 0 and (logits.grad[..., [0, 2, 3, 4]] != 0).all()


@pytest.mark.parametrize("target", [(X, X, X), (0, 0, 0), (1, 1, X)])
def test_without_both_kinds_there_is_nothing_to_learn(target):
    logits = logits_of(0.5, -2.0, 3.0)
    loss = balanced_binary_cross_entropy(logits, row(*target))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_the_balance_is_that_of_the_whole_batch():
    # Two images, 1 boundary pixel of 2 and 0 of 2: together 1 of 4, as above.
    target = torch.tensor([[[1, 0]], [[0, 0]]])
    loss = balanced_binary_cross_entropy(torch.zeros(2, 1, 1, 2), target)
    assert loss.item() == pytest.approx(3 / 8 * math.log(2))


def test_pixels_of_many_crops_can_be_counted():
    """Twelve crops of 1024x1024 have more pixels than a product of two counts in int32 holds."""
    target = torch.zeros(1, 1, 70_000, dtype=torch.int64)
    target[..., :35_000] = 1
    loss = balanced_binary_cross_entropy(torch.zeros(1, 1, 1, 70_000), target)
    assert loss.item() == pytest.approx(math.log(2) / 2, rel=1e-4)
