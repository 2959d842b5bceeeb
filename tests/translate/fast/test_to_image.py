"""The last convolution computes and learns what torch's does."""

import pytest
import torch
from torch import nn

from translate.fast.to_image import ToImageConv2d


@pytest.mark.parametrize("bias", [False, True])
def test_equals_torchs_and_so_do_its_gradients(bias):
    torch.manual_seed(0)
    ours = ToImageConv2d(4, 3, kernel_size=(7, 5), bias=bias).double()
    theirs = nn.Conv2d(4, 3, kernel_size=(7, 5), bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    drawn = torch.randn(2, 4, 9, 11, dtype=torch.float64)
    features = [drawn.clone().requires_grad_() for _ in range(2)]
    results = ours(features[0]), theirs(features[1])
    for result in results:
        result.square().sum().backward()
    assert torch.allclose(*results) and torch.allclose(features[0].grad, features[1].grad)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad)


def test_is_torchs_own_where_nothing_is_learnt():
    torch.manual_seed(0)
    layer, features = ToImageConv2d(4, 3, kernel_size=7), torch.randn(1, 4, 12, 12)
    with torch.no_grad():
        assert torch.equal(layer(features), nn.functional.conv2d(features, layer.weight, layer.bias))


def test_sums_in_float32_under_autocast():
    """256 once and 1/2 six times are 259; in bf16 each sum would be rounded to 256."""
    layer = ToImageConv2d(1, 1, kernel_size=7, bias=False)
    with torch.no_grad():
        layer.weight.zero_()[0, 0, 3] = torch.tensor([256.0, *[0.5] * 6])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = layer(torch.ones(1, 1, 7, 7))
    assert result.dtype == torch.bfloat16
    assert result.item() == torch.tensor(259.0).bfloat16().item() != 256
