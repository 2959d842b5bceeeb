"""Instance or batch normalisation, by name.

Instance normalisation (Ulyanov et al., arXiv:1607.08022) keeps no running statistics and nothing learnt, as in
CycleGAN; batch normalisation (Ioffe and Szegedy, ICML 2015) is pix2pix's, whose code translates with the statistics of
each frame, one frame a batch. That is instance normalisation with the scales and shifts that were learnt: "frame".
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Norm = Literal["instance", "batch", "frame"]

SMALL_PIXELS = 1024
"""Below, torch's group normalisation of channels-last features goes over them channel by channel, pixel by far pixel:
(2, 256, 16, 16) takes 1.29 ms, by means over pixels 0.17; from here on, as (2, 128, 32, 32), 0.13 and 0.30."""
FAR = 4.0
"""Deviations that a channel's mean may lie from 0. Beyond, the same layer, whose variance is the mean square less the
square of the mean, loses it in float32: at 1024x512 its deviations are off by 0.04 % at 4, by 4 % at 32, and at 100
nothing is left of them. Photographs of the day stay below 3; night, fog and plain sky do not, in the first layer."""


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """A layer for maps of `channels` channels; ValueError if `norm` is no such name."""
    if norm == "instance":
        return InstanceNorm2d(channels)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "frame":
        return nn.InstanceNorm2d(channels, affine=True)
    raise ValueError(f"There is no norm {norm!r}; the valid ones are instance, batch, frame.")


def has_bias(norm: Norm) -> bool:
    """Whether the convolution before it has a bias: batch normalisation brings its own."""
    return norm == "instance"


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's, without weights and running statistics, and with a gradient of our own on the CPU.

    There torch 2.15's is wrong, and says nothing, for a single image whose gradient comes in channels-last layout; and
    it is slow, since it copies features to another layout and back: (1, 64, 256, 256) in channels-last bf16 takes
    21 ms forward and back, this 9.5; in float32 35 against 11 (`benchmarks/layers.py --parts learning`).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same with mean 0 and variance 1 in every image and channel."""
        learning = features.device.type == "cpu" and torch.is_grad_enabled()
        if learning and features.shape[2:].numel() > 1:  # torch's own refuses one pixel, with the reason
            return _Normalised.apply(features, self.eps)
        return super().forward(features)


class _Normalised(torch.autograd.Function):
    """Group normalisation with groups of one channel forward, and its gradient written out.

    With x' = (x - mean) / deviation, the gradient is (g - mean(g) - x' mean(g x')) / deviation: a multiple of g, one
    of x and a constant, all of them per image and channel.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, eps: float) -> Tensor:
        normalised, mean, scale = normalised_by_channel(features, eps)
        ctx.save_for_backward(features, mean, scale)
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        features, mean, scale = ctx.saved_tensors
        mean, scale = (value.to(torch.promote_types(value.dtype, torch.float32)) for value in (mean, scale))
        pixels = features.shape[2] * features.shape[3]
        mean_gradient = gradient.sum((2, 3), dtype=mean.dtype) / pixels
        mean_product = (gradient * features).sum((2, 3), dtype=mean.dtype) / pixels
        of_features = -(scale**3) * (mean_product - mean * mean_gradient)
        constant = -scale * mean_gradient - of_features * mean

        def per_channel(value: Tensor) -> Tensor:
            return value[..., None, None].to(features.dtype)

        result = torch.addcmul(per_channel(constant), features, per_channel(of_features))
        return result.addcmul_(gradient, per_channel(scale)), None


def normalised_by_channel(
    features: Tensor, eps: float, weight: Tensor | None = None, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Instance normalisation as group normalisation with groups of one channel, where that is fast and exact.

    Args:
        features: (B, C, H, W), on the CPU.
        eps: Added to variances.
        weight: (C,), by which the normalised features are scaled; None: not.
        bias: (C,), by which they are shifted after that; None: not.

    Returns:
        The normalised features, and the mean and 1 / deviation, (B, C), of what was given.
    """
    images, channels, height, width = features.shape
    pixels, channels_last = height * width, not features.is_contiguous()
    if channels_last:  # or a part of larger features
        features = features.contiguous(memory_format=torch.channels_last)
    if pixels >= SMALL_PIXELS or not channels_last:
        found = torch.native_group_norm(features, weight, bias, images, channels, pixels, channels, eps)
        if not channels_last or (found[1] * found[2]).abs().max() < FAR:
            return found
    normalised, mean, scale = _by_means(features, eps)
    if weight is not None and bias is not None:
        normalised = torch.addcmul(bias[:, None, None], normalised, weight[:, None, None]).to(features.dtype)
    return normalised, mean, scale


def _by_means(features: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Normalised features (B, C, H, W), and the mean and 1 / deviation (B, C) that did it, as group normalisation's."""
    precise = features.to(torch.promote_types(features.dtype, torch.float32))
    mean = precise.mean((2, 3), keepdim=True)
    centred = precise - mean
    scale = (centred.square().mean((2, 3), keepdim=True) + eps).rsqrt()
    return centred.mul_(scale).to(features.dtype), mean.flatten(1), scale.flatten(1)
