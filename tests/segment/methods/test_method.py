"""The contract of every method: what it must say, and what is so unless it says otherwise."""

import pytest
import torch

from segment.methods.method import Method


class Least(Method):
    """Says what it must and no more."""

    def optimizers(self):
        return {}

    def learning_rate_scale(self, step):
        return 1.0

    def step(self, batch, update):
        return {}

    def preview(self, batch):
        return {}


@pytest.mark.parametrize("part", ["optimizers", "learning_rate_scale", "step", "preview"])
def test_a_method_without_one_of_its_parts_cannot_be_built(part):
    """It would be missed in the middle of a training."""
    parts = {name: value for name, value in vars(Least).items() if name != part and not name.startswith("__")}
    with pytest.raises(TypeError, match=f"abstract method '?{part}"):
        type("Incomplete", (Method,), parts)()


def test_a_method_that_says_no_more_is_quiet_and_keeps_torchs_layout():
    method = Least()
    assert method.warnings({"main": float("nan")}) == [] and method.observed() == {}
    assert method.memory_format(torch.device("cpu")) is torch.contiguous_format


def test_what_it_keeps_in_parts_and_buffers_is_its_state():
    method = Least()
    method.layer, method.taken = torch.nn.Linear(2, 1), torch.nn.Buffer(torch.zeros(()))
    assert set(method.state_dict()) == {"layer.weight", "layer.bias", "taken"}
