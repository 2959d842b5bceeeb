"""Pointwise layers in strips against the same layers on the whole."""

import pytest
import torch
from torch import nn

from translate.fast.pointwise import PointwiseStrips, suits


def mask(inside=3, hidden=16, bias=True):
    return nn.Sequential(nn.Conv2d(inside, hidden, 1, bias=bias), nn.LeakyReLU(), nn.Conv2d(hidden, inside, 1))


def test_two_layers_by_hand():
    """Of 1 and -1 the first layer makes 2 and -2, the function 2 and -0.02, the second 7 and 4.98."""
    layers = mask(inside=1, hidden=1)
    with torch.no_grad():
        for value, parameter in zip((2.0, 0.0, 1.0, 5.0), layers.parameters(), strict=True):
            parameter.fill_(value)
        result = PointwiseStrips(layers)(torch.tensor([1.0, -1.0]).view(1, 1, 1, 2))
    assert result.flatten().tolist() == pytest.approx([7, 4.98])


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 17)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_strips_are_the_whole(monkeypatch, bias, size, layout):
    monkeypatch.setattr("translate.fast.pointwise.STRIP", 16)
    torch.manual_seed(0)
    layers, features = mask(bias=bias), torch.randn(2, 3, *size).contiguous(memory_format=layout)
    with torch.no_grad():
        result = PointwiseStrips(layers)(features)
        assert result.shape == features.shape
        assert (result - layers(features)).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (mask(), True),
        (mask(hidden=33), False),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()), False),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3)), False),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, stride=2)), False),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, padding=1)), False),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1, groups=2)), False),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3), nn.Conv2d(3, 3, 1)), False),
    ],
)
def test_suits_narrow_layers_that_see_one_pixel(layers, expected):
    assert suits(layers) is expected
