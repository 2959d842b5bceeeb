"""What the generators of CycleGAN, CUT and pix2pixHD do most of their work in.

He et al. (CVPR 2016, arXiv:1512.03385) with the padding, normalisation and order of Johnson et al. (ECCV 2016).
Parameter names are those of the authors' published checkpoints.
"""

import torch
from torch import Tensor, nn

from translate.fast.winograd_training import mirrored_convolution
from translate.networks.normalisation import Norm, has_bias, normalisation

WORTHWHILE_CHANNELS, WORTHWHILE_PIXELS = 128, 512
"""Channels, and pixels of a batch, below which Winograd's algorithm spends more on going to its points and back than it
saves on products. Two images of (256, 16, 16) take 24 ms by it and 28 directly, of (128, 16, 16) 7.4 and 7.9; one image
takes 20 and 17, or 5.4 and 4.7."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input; size and channels stay."""

    def __init__(self, channels: int, norm: Norm = "instance", dropout: bool = False) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Identity(),  # the authors' layer that mirrors, which their names count
            MirroredConv2d(channels, channels, bias=has_bias(norm)),
            normalisation(norm, channels),
            nn.ReLU(inplace=True),
            *([nn.Dropout(0.5)] if dropout else []),
            nn.Identity(),
            MirroredConv2d(channels, channels, bias=has_bias(norm)),
            normalisation(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)


class MirroredConv2d(nn.Conv2d):
    """A 3x3 convolution of features mirrored by one pixel, by Winograd's algorithm where a CPU learns faster by it."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        super().__init__(in_channels, out_channels, kernel_size=3, padding=1, padding_mode="reflect", bias=bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, H, W)."""
        if features.device.type == "cpu" and torch.is_grad_enabled() and self._is_worthwhile(features):
            return mirrored_convolution(features, self.weight, self.bias)
        return super().forward(features)

    def _is_worthwhile(self, features: Tensor) -> bool:
        wide = min(self.in_channels, self.out_channels) >= WORTHWHILE_CHANNELS
        return wide and features.numel() >= WORTHWHILE_PIXELS * self.in_channels
