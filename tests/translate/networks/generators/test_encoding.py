"""Layers of an encoder are counted from 1, 0 being what goes in; what is not asked for is not computed."""

import pytest
import torch
from torch import nn

from translate.networks.generators.encoding import features_of, walk


class Add(nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, x):
        return x + self.amount


class Forbidden(nn.Module):
    def forward(self, x):
        raise AssertionError("computed beyond the last layer that was asked for")


def test_a_walk_ends_with_the_last_layer_and_keeps_what_was_asked_for():
    out, found = walk([Add(1), Add(10), Add(100)], torch.zeros(1), (2, 0))
    assert out.item() == 111 and [one.item() for one in found] == [0, 11]


def test_features_stop_at_the_deepest_layer():
    assert [one.item() for one in features_of([Add(1), Add(10), Forbidden()], torch.zeros(1), (1, 2))] == [1, 11]
    assert [one.item() for one in features_of([Forbidden()], torch.ones(1), (0,))] == [1]


@pytest.mark.parametrize("layers", [(), (-1,), (1, 3)])
def test_layers_that_are_not_there_are_refused(layers):
    with pytest.raises(ValueError, match="expected positions from 0 to 2"):
        features_of([Add(1), Add(10)], torch.zeros(1), layers)
