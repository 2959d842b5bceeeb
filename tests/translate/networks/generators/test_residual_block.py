"""The block computes the same by both of its algorithms, and takes the faster one where it is."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from translate.networks.generators import residual_block
from translate.networks.generators.residual_block import MirroredConv2d, ResidualBlock


def taken(monkeypatch):
    calls = []
    ours = residual_block.mirrored_convolution
    monkeypatch.setattr(residual_block, "mirrored_convolution", lambda *given: calls.append(1) or ours(*given))
    return calls


@pytest.mark.parametrize(
    ("channels", "side", "learning", "expected"),
    [(128, 23, True, 1), (128, 22, True, 0), (256, 23, True, 1), (127, 64, True, 0), (128, 32, False, 0)],
)
def test_winograd_where_a_cpu_learns_faster_by_it(monkeypatch, channels, side, learning, expected):
    """128 channels at least, and 512 pixels: 23x23 are 529, 22x22 are 484."""
    calls = taken(monkeypatch)
    torch.manual_seed(0)
    layer, features = MirroredConv2d(channels, channels, bias=True), torch.randn(1, channels, side, side)
    with torch.set_grad_enabled(learning):
        result = layer(features)
    assert len(calls) == expected
    padded = functional.pad(features, (1, 1, 1, 1), "reflect")
    assert torch.allclose(result, functional.conv2d(padded, layer.weight, layer.bias), atol=1e-5)


@pytest.mark.parametrize("dropout", [False, True])
def test_names_are_the_authors(dropout):
    names = {name.rsplit(".", 1)[0] for name in ResidualBlock(4, dropout=dropout).state_dict()}
    assert names == {"conv_block.1", f"conv_block.{6 if dropout else 5}"}


def test_equals_the_authors_layers():
    torch.manual_seed(0)
    block = ResidualBlock(3)
    plain = nn.Sequential(
        nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3), nn.InstanceNorm2d(3), nn.ReLU(),
        nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3), nn.InstanceNorm2d(3),
    )  # fmt: skip
    plain.load_state_dict({key.removeprefix("conv_block."): value for key, value in block.state_dict().items()})
    features = torch.randn(2, 3, 6, 7)
    assert torch.allclose(block(features), features + plain(features), atol=1e-5)
