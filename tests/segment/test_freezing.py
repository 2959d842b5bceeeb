"""Judges that do not learn."""

import pytest
import torch
from torch import nn

from segment.freezing import frozen


def test_gradient_passes_through_and_leaves_no_trace():
    judge = nn.Linear(2, 1)
    image = torch.ones(1, 2, requires_grad=True)
    with frozen(judge):
        loss = judge(image).sum()
    loss.backward()
    assert torch.equal(image.grad, judge.weight)
    assert judge.weight.grad is None and judge.bias.grad is None


def test_only_what_was_trained_is_trained_again():
    judge = nn.Linear(2, 1)
    judge.bias.requires_grad_(False)
    with frozen(judge):
        assert not judge.weight.requires_grad
    assert judge.weight.requires_grad and not judge.bias.requires_grad


def test_an_error_within_does_not_leave_it_frozen():
    judge = nn.Linear(2, 1)
    with pytest.raises(RuntimeError), frozen(judge):
        judge(torch.zeros(1, 3))
    assert judge.weight.requires_grad
