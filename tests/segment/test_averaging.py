"""The moving average of a network's weights."""

import pytest
import torch
from torch import nn

from segment.averaging import MovingAverage


class OneWeight(nn.Module):
    """A weight, a statistic and a counter."""

    def __init__(self, value):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(value)))
        self.register_buffer("statistic", torch.tensor(float(value)))
        self.register_buffer("counter", torch.tensor(int(value)))


def test_two_updates_by_hand():
    average = MovingAverage(OneWeight(0), decay=0.15)
    # Update 0: decay min(0.15, 1/10) = 0.1, so 0.1 * 0 + 0.9 * 10 = 9.
    average.update(OneWeight(10))
    assert average.network.weight.item() == pytest.approx(9)
    # Update 1: decay min(0.15, 2/11) = 0.15, so 0.15 * 9 + 0.85 * 20 = 18.35.
    average.update(OneWeight(20))
    assert average.network.weight.item() == pytest.approx(18.35)
    assert average.network.statistic.item() == pytest.approx(18.35)
    assert average.network.counter.item() == 20


def test_the_original_is_left_alone_and_no_gradient_is_asked_of_the_copy():
    network = OneWeight(0)
    average = MovingAverage(network, decay=0.9)
    average.update(OneWeight(10))
    assert network.weight.item() == 0
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_a_resumed_average_continues_where_it_was():
    average, resumed = MovingAverage(OneWeight(0), decay=0.999), MovingAverage(OneWeight(5), decay=0.999)
    average.update(OneWeight(10))
    resumed.load_state_dict(average.state_dict())
    for one in (average, resumed):
        one.update(OneWeight(30))
    assert resumed.updates.item() == 2
    assert resumed.network.weight.item() == average.network.weight.item()


def test_it_stays_in_evaluation_mode():
    average = MovingAverage(nn.Sequential(nn.BatchNorm2d(3)), decay=0.9)
    nn.Sequential(average).train()
    assert not any(module.training for module in average.modules())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_no_share_is_refused(decay):
    with pytest.raises(ValueError, match=f"is {decay}; it must be at least 0 and below 1"):
        MovingAverage(OneWeight(0), decay)
