"""Halving and doubling that do not alias: a blur before the one, after the other.

Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019 (arXiv:1904.11486), as CUT's published
networks have it. The filters are buffers called `filt`, which is the name in the authors' checkpoints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


def _blur(weights: tuple[int, ...], channels: int, gain: float) -> Tensor:
    """The outer product of a binomial filter with itself, summing to `gain`, once per channel: (C, 1, K, K)."""
    row = torch.tensor(weights, dtype=torch.float32)
    kernel = torch.outer(row, row)
    return (kernel / kernel.sum() * gain).repeat(channels, 1, 1, 1)


class BlurredHalving(nn.Module):
    """(B, C, H, W) to (B, C, H/2, W/2), rounded up: a 3x3 binomial blur, then every second pixel."""

    filt: Tensor
    reach, jump = 1, 2
    """For tiles: how far it sees, and how many positions of its input one of its output stands for."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _blur((1, 2, 1), channels, gain=1.0))

    def forward(self, features: Tensor) -> Tensor:
        padded = functional.pad(features, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(padded, self.filt.to(features.dtype), stride=2, groups=features.shape[1])


class BlurredDoubling(nn.Module):
    """(B, C, H, W) to (B, C, 2H, 2W): zeros in between, then a 4x4 binomial blur that keeps the brightness."""

    filt: Tensor
    reach, jump = 2, 0.5
    """As of `BlurredHalving`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("filt", _blur((1, 3, 3, 1), channels, gain=4.0))

    def forward(self, features: Tensor) -> Tensor:
        padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
        filt = self.filt.to(features.dtype)
        doubled = functional.conv_transpose2d(padded, filt, stride=2, padding=2, groups=features.shape[1])
        return doubled[..., 1:-1, 1:-1]
