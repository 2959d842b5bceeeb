"""Segmenters of random weights and their files, for the tests of imports and of the command that imports."""

from collections import OrderedDict

import pytest
import torch

from segment.networks import NETWORKS


def prefixed(state, prefix):
    return OrderedDict((f"{prefix}{key}", value) for key, value in state.items())


@pytest.fixture(scope="module")
def drawn():
    """A function: network -> one of it with random weights and statistics, the same one each time."""
    made = {}

    def draw(name):
        if name not in made:
            torch.manual_seed(7)
            network = NETWORKS[name]().eval()
            for key, value in network.state_dict().items():
                if key.endswith(("running_mean", "running_var")):
                    value.uniform_(0.5, 1.5)
            made[name] = network
        return made[name]

    return draw


@pytest.fixture
def save(tmp_path):
    """A function: file name and content -> the file."""

    def write(name, content):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write
