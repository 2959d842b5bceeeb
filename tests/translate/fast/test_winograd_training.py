"""Winograd's convolution with its gradients, against torch's."""

import pytest
import torch
from torch.nn import functional

from translate.fast.winograd_training import mirrored_convolution

SIZES = [(8, 12), (7, 9), (2, 3)]


def direct(features, weight, bias):
    return functional.conv2d(functional.pad(features, (1, 1, 1, 1), "reflect"), weight, bias)


def drawn(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("size", SIZES)
def test_equals_the_direct_convolution_in_double_precision(size):
    torch.manual_seed(0)
    arguments = drawn(2, 3, *size), drawn(4, 3, 3, 3), drawn(4)
    assert (mirrored_convolution(*arguments) - direct(*arguments)).abs().max() < 1e-12
    assert torch.autograd.gradcheck(mirrored_convolution, arguments)


@pytest.mark.parametrize("tiles", [1, 12])
def test_images_one_by_one_and_the_last_of_several_by_itself(tiles, monkeypatch):
    """An image of 8x12 has six tiles: of three, each is computed alone, or two at once and then one."""
    monkeypatch.setattr("translate.fast.winograd_training.TILES_TOGETHER", tiles)
    torch.manual_seed(0)
    arguments = drawn(3, 2, 8, 12), drawn(2, 2, 3, 3), drawn(2)
    upstream = torch.randn(3, 2, 8, 12, dtype=torch.float64)
    ours, theirs = mirrored_convolution(*arguments), direct(*arguments)
    assert (ours - theirs).abs().max() < 1e-12
    for mine, true in zip(
        torch.autograd.grad(ours, arguments, upstream), torch.autograd.grad(theirs, arguments, upstream), strict=True
    ):
        assert (mine - true).abs().max() < 1e-11


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_as_near_as_the_precision_lets_them(dtype):
    """To the true ones; features in channels-last and of two images."""
    torch.manual_seed(0)
    features, weight, bias = drawn(2, 64, 20, 24), drawn(48, 64, 3, 3), drawn(48)
    upstream = torch.randn(2, 48, 20, 24, dtype=torch.float64)
    expected = direct(features, weight, bias)
    expected.backward(upstream)
    rough = [value.detach().to(dtype).requires_grad_() for value in (features, weight, bias)]
    result = mirrored_convolution(rough[0].contiguous(memory_format=torch.channels_last), *rough[1:])
    result.backward(upstream.to(dtype))
    assert result.dtype == dtype and result.is_contiguous(memory_format=torch.channels_last)
    bound = {torch.float32: 3e-6, torch.bfloat16: 0.025}[dtype]
    for value, true in (
        (result, expected),
        *((mine.grad, its.grad) for mine, its in zip(rough, (features, weight, bias), strict=True)),
    ):
        assert (value.double() - true).norm() < bound * true.norm()


def test_computes_in_the_precision_of_autocast_and_learns_in_the_weights():
    features, weight = drawn(1, 4, 8, 8, dtype=torch.float32), drawn(4, 4, 3, 3, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = mirrored_convolution(features, weight, None)
    result.float().sum().backward()
    assert result.dtype == torch.bfloat16
    assert features.grad.dtype == weight.grad.dtype == torch.float32


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_a_frozen_part_gets_no_gradient_and_the_others_theirs(frozen):
    torch.manual_seed(0)
    arguments = [drawn(1, 2, 6, 6), drawn(2, 2, 3, 3), drawn(2)]
    arguments[frozen].requires_grad_(False)
    wanted = [value for value in arguments if value.requires_grad]
    ours = torch.autograd.grad(mirrored_convolution(*arguments).square().sum(), wanted)
    theirs = torch.autograd.grad(direct(*arguments).square().sum(), wanted)
    assert all(torch.allclose(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_smaller_layer_between_the_passes_of_a_larger_one_disturbs_nothing():
    """All layers share the memory of what is needed for a moment."""
    torch.manual_seed(0)
    large, small, weight = drawn(1, 3, 12, 12), drawn(1, 3, 4, 4), drawn(3, 3, 3, 3)
    result = mirrored_convolution(large, weight, None)
    mirrored_convolution(small, weight, None).sum().backward()
    (ours,) = torch.autograd.grad(result.square().sum(), large)
    (theirs,) = torch.autograd.grad(direct(large, weight, None).square().sum(), large)
    assert torch.allclose(ours, theirs)
