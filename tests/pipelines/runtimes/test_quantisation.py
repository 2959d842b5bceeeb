"""int8 by NNCF: a model of 8-bit weights that computes nearly the same; the given one stays as it is."""

import importlib.util
import sys

import numpy as np
import pytest
import torch

from pipelines.errors import UserError
from pipelines.runtimes.conversion import compiled_for_openvino, converted_to_openvino
from pipelines.runtimes.quantisation import quantised

pytestmark = pytest.mark.runtimes

needs_both = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in ("openvino", "nncf")),
    reason="needs the extras openvino and int8: not installed",
)


def weight_types(model):
    """Element types of a model's constants as large as the first convolution's weights."""
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    return {node.get_element_type().get_type_name() for node in constants if node.data.size >= 16 * 3 * 9}


@needs_both
def test_weights_become_bytes_and_results_hardly_move(capfd):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 2, 1))
    network.eval().requires_grad_(False)
    model = converted_to_openvino(network)
    images = [torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(seed)).numpy() for seed in range(4)]
    reduced = quantised(model, images[:3])
    expected, found = (compiled_for_openvino(one, "exact")([images[3]])[0] for one in (model, reduced))
    assert 0 < np.abs(found - expected).mean() < 0.05 * np.abs(expected).mean()
    assert weight_types(model) == {"f32"} and weight_types(reduced) == {"i8"}
    assert sys.modules["openvino_telemetry"] is None
    assert capfd.readouterr().out == ""


def test_without_nncf_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"nncf is not installed; pip install 'sim2real\[int8\]'"):
        quantised(None, [])
