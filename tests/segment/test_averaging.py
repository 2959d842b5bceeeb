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


def test_every_tensor_of_a_network_moves_by_the_same_share():
    """Decay min(0.5, 1/10) = 0.1: what is averaged is 0.1 of the old weights and 0.9 of the new, in any layout."""
    old, new = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)) for _ in range(2))
    average = MovingAverage(old, decay=0.5)
    average.update(new.to(memory_format=torch.channels_last))
    for name, tensor in average.network.state_dict().items():
        expected = 0.1 * old.state_dict()[name] + 0.9 * new.state_dict()[name]
        torch.testing.assert_close(tensor.double(), expected.double(), check_stride=False)


def test_a_network_of_counters_alone_is_copied():
    class Counter(nn.Module):
        def __init__(self, value):
            super().__init__()
            self.register_buffer("counter", torch.tensor(value))

    average = MovingAverage(Counter(1), decay=0.9)
    average.update(Counter(7))
    assert average.network.counter.item() == 7


def test_the_counter_is_never_read_back(monkeypatch):
    """On a GPU that would wait for all work before it, at every step."""
    average, network = MovingAverage(OneWeight(0), decay=0.9), OneWeight(10)

    def read(self, *_):
        raise AssertionError("a tensor is read back to the host")

    with monkeypatch.context() as patched:
        for name in ("item", "__int__", "__float__", "__bool__", "tolist"):
            patched.setattr(torch.Tensor, name, read)
        average.update(network)
    assert average.network.weight.item() > 0, "it did follow"


def test_it_stays_in_evaluation_mode():
    average = MovingAverage(nn.Sequential(nn.BatchNorm2d(3)), decay=0.9)
    nn.Sequential(average).train()
    assert not any(module.training for module in average.modules())


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_no_share_is_refused(decay):
    with pytest.raises(ValueError, match=f"is {decay}; it must be at least 0 and below 1"):
        MovingAverage(OneWeight(0), decay)
