"""The norms by name: what each keeps, its gradient where torch's own is wrong, and which convolution keeps its bias."""

import pytest
import torch
from torch import nn

from translate.networks.normalisation import InstanceNorm2d, has_bias, normalisation, normalised_by_channel


def test_instance_by_hand():
    image = torch.tensor([[[[1.0, 3.0]]], [[[10.0, 30.0]]]])
    # Each image by itself: mean 2, deviation 1; mean 20, deviation 10.
    expected = torch.tensor([[[[-1.0, 1.0]]], [[[-1.0, 1.0]]]])
    torch.testing.assert_close(normalisation("instance", 1)(image), expected, atol=1e-5, rtol=0)


def test_batch_by_hand():
    image = torch.tensor([[[[1.0, 1.0]]], [[[3.0, 3.0]]]])
    # Over both images: mean 2, deviation 1.
    expected = torch.tensor([[[[-1.0, -1.0]]], [[[1.0, 1.0]]]])
    torch.testing.assert_close(normalisation("batch", 1)(image), expected, atol=1e-5, rtol=0)


def test_only_batch_norm_has_anything_to_store():
    assert len(normalisation("instance", 2).state_dict()) == 0
    assert len(normalisation("batch", 2).state_dict()) == 5


def test_batch_norm_replaces_the_bias():
    assert has_bias("instance") and not has_bias("batch")


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="no norm 'group'; the valid ones are instance, batch"):
        normalisation("group", 2)


def test_frame_is_batch_norm_of_each_image_alone():
    """Two images in one batch are normalised as batch norm in training mode normalises each by itself."""
    torch.manual_seed(0)
    images, batch_norm, by_frame = torch.randn(2, 3, 5, 6), nn.BatchNorm2d(3), normalisation("frame", 3)
    nn.init.normal_(batch_norm.weight), nn.init.normal_(batch_norm.bias)
    by_frame.load_state_dict({"weight": batch_norm.weight, "bias": batch_norm.bias})
    expected = torch.cat([batch_norm(images[:1]), batch_norm(images[1:])])
    torch.testing.assert_close(by_frame.eval()(images), expected)


@pytest.mark.parametrize("size", [(9, 10), (32, 33)])
@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("layouts", [("features",), ("gradient",), ("features", "gradient"), ()])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-9), (torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_result_and_gradient_in_every_layout(size, images, layouts, dtype, bound):
    """Against the formula as autograd differentiates it; torch 2.15's own fails for one image and a channels-last
    gradient. Fewer than 1024 pixels in channels-last are normalised in another way than more."""
    torch.manual_seed(0)
    features = (2 * torch.randn(images, 6, *size, dtype=torch.float64) + 1).requires_grad_()
    upstream = torch.randn(images, 6, *size, dtype=torch.float64)
    variance, mean = torch.var_mean(features, (2, 3), correction=0, keepdim=True)
    expected = (features - mean) / (variance + 1e-5).sqrt()
    expected.backward(upstream)

    def laid_out(value, name):
        layout = torch.channels_last if name in layouts else torch.contiguous_format
        return value.detach().to(dtype).contiguous(memory_format=layout)

    mine = laid_out(features, "features").requires_grad_()
    normalised = InstanceNorm2d(6)(mine)
    normalised.backward(laid_out(upstream, "gradient"))
    assert normalised.dtype == mine.grad.dtype == dtype
    assert (normalised.double() - expected).norm() < bound * expected.norm()
    assert (mine.grad.double() - features.grad).norm() < bound * features.grad.norm()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_what_hardly_differs_from_its_mean_is_normalised_all_the_same(layout):
    """As the features of fog or night do. Deviations by the mean square less the squared mean are 7 % off here."""
    torch.manual_seed(0)
    features = (200 + torch.randn(1, 4, 128, 128)).contiguous(memory_format=layout)
    upstream = torch.randn_like(features)
    precise = features.double().requires_grad_()
    expected = nn.functional.instance_norm(precise)
    expected.backward(upstream.double().contiguous())
    mine = features.requires_grad_()
    normalised = InstanceNorm2d(4)(mine)
    normalised.backward(upstream)
    assert (normalised - expected).abs().max() < 1e-3
    assert (mine.grad - precise.grad).norm() < 1e-3 * precise.grad.norm()


@pytest.mark.parametrize("mean", [0, 200])
def test_scales_shifts_and_layouts_of_channels(mean):
    """Of features that are a part of larger ones, too, and in all three ways that they are normalised by."""
    torch.manual_seed(0)
    weight, bias = torch.randn(2, 4)
    larger = (mean + torch.randn(2, 4, 66, 70)).contiguous(memory_format=torch.channels_last)
    for features in (larger[..., :65, :69], larger[..., :9, :10], larger[..., :65, :69].contiguous()):
        found, own_mean, scale = normalised_by_channel(features, 1e-5, weight, bias)
        expected = nn.functional.instance_norm(features.double(), weight=weight.double(), bias=bias.double())
        assert (found - expected).abs().max() < 1e-3
        assert (own_mean - features.mean((2, 3))).abs().max() < 1e-3
        assert (scale * features.std((2, 3), correction=0) - 1).abs().max() < 1e-3


def test_one_pixel_cannot_be_normalised():
    with pytest.raises(ValueError, match="more than 1 spatial element"):
        InstanceNorm2d(2)(torch.zeros(1, 2, 1, 1))
