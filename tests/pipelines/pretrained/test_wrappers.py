"""The words of wrappers are taken off in any order and place; what a person names is chosen or left out."""

import pytest
import torch

from pipelines.errors import UserError
from pipelines.pretrained.wrappers import chosen, unwrapped

ONE = torch.ones(1)


@pytest.mark.parametrize(
    "key",
    ["conv.weight", "module.conv.weight", "_orig_mod.conv.weight", "module._orig_mod.conv.weight",
     "_orig_mod.module.conv.weight", "module.module.conv.weight", "conv._orig_mod.weight"],
)  # fmt: skip
def test_words_are_taken_off_wherever_they_stand(key):
    assert list(unwrapped({key: ONE})) == ["conv.weight"]


def test_counts_that_mean_nothing_are_left_out():
    state = {"module.conv.weight": ONE, "n_averaged": ONE, "module.total_ops": ONE, "conv.total_params": ONE}
    assert list(unwrapped(state)) == ["conv.weight"]


def test_words_stay_where_they_tell_tensors_apart():
    state = {"module.conv.weight": ONE, "conv.weight": ONE}
    assert unwrapped(state) == state


def test_a_state_dict_is_chosen_and_tensors_left_out():
    networks = {"a": {"module.conv.weight": ONE, "module.head.weight": ONE}, "b": {"conv.weight": ONE}}
    assert chosen(networks, None) == {"a": {"conv.weight": ONE, "head.weight": ONE}, "b": {"conv.weight": ONE}}
    assert chosen(networks, "a", ["head."]) == {"a": {"conv.weight": ONE}}
    with pytest.raises(UserError, match="--entry is 'c'; the file holds a, b"):
        chosen(networks, "c")
    with pytest.raises(UserError, match="--entry is 'c'; the file holds one without a name"):
        chosen({"": {}}, "c")
    with pytest.raises(UserError, match="--leave-out is 'head'; no tensor"):
        chosen(networks, "b", ["head"])
