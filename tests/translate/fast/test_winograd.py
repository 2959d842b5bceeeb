"""Winograd's convolution against torch's."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from translate.fast.winograd import WinogradConv2d, transforms


def expected(convolution, features, mode):
    return convolution(functional.pad(features, (1, 1, 1, 1), mode))


def test_two_outputs_by_hand():
    """The filter 1, 2, 3 over 1, 0, -1, 2: 1 - 3 = -2 and 0 - 2 + 6 = 4."""
    output, weight, values = transforms(2)
    products = (weight @ torch.tensor([1.0, 2, 3]).double()) * (values @ torch.tensor([1.0, 0, -1, 2]).double())
    assert (output @ products).tolist() == pytest.approx([-2, 4])


@pytest.mark.parametrize("mode", ["reflect", "constant"])
@pytest.mark.parametrize("tile", [(4, 4), (2, 4), (2, 2)])
@pytest.mark.parametrize("size", [(16, 24), (13, 7), (2, 3)])
def test_equals_the_direct_convolution(mode, tile, size):
    torch.manual_seed(0)
    convolution, features = nn.Conv2d(8, 12, 3), torch.randn(2, 8, *size)
    with torch.no_grad():
        result = WinogradConv2d(convolution, mode, tile)(features)
        assert result.shape == (2, 12, *size)
        assert (result - expected(convolution, features, mode)).abs().max() < 1e-5


def test_strips_meet(monkeypatch):
    monkeypatch.setattr("translate.fast.winograd.STRIP", 8)
    torch.manual_seed(0)
    convolution, features = nn.Conv2d(4, 4, 3), torch.randn(1, 4, 40, 20)
    with torch.no_grad():
        result = WinogradConv2d(convolution, "reflect")(features)
        assert (result - expected(convolution, features, "reflect")).abs().max() < 1e-5


def test_without_its_bias():
    convolution, features = nn.Conv2d(4, 4, 3), torch.zeros(1, 4, 8, 8)
    with torch.no_grad():
        convolution.bias.fill_(3)
        assert WinogradConv2d(convolution, "reflect", bias=False)(features).abs().max() == 0
        assert WinogradConv2d(convolution, "reflect")(features).unique().tolist() == [3]


def test_bfloat16_is_near():
    torch.manual_seed(0)
    convolution, features = nn.Conv2d(64, 64, 3, bias=False), torch.randn(1, 64, 16, 16)
    with torch.no_grad():
        result = WinogradConv2d(convolution, "reflect", (2, 4), torch.bfloat16)(features)
        reference = expected(convolution, features, "reflect")
    assert result.dtype == torch.bfloat16
    assert (result - reference).abs().mean() < 0.02 * reference.std()
