"""A discriminator of label maps: which domain do these class probabilities come from, seen patch by patch?

Tsai et al., CVPR 2018 (arXiv:1802.10349), sec. 4.1. The light form parts each convolution into one per channel and one
per pixel, as real-time adaptation uses it (Tavera et al., 2021), with a fourteenth of the multiplications: 2.1
GFLOP for 30.9, on 19 classes at 1024x512.
"""

from itertools import pairwise

from torch import Tensor, nn


class OutputDiscriminator(nn.Sequential):
    """Five convolutions of 4x4 that halve, without normalisation: probabilities (B, K, H, W) to logits (B, 1, h, w).

    Args:
        classes: K.
        channels: Of the first layer; each layer has twice those of the one before.
        light: Depthwise and pointwise convolutions instead of full ones.
    """

    def __init__(self, classes: int, channels: int = 64, light: bool = False) -> None:
        convolution = _depthwise if light else _full
        widths = [classes, channels, 2 * channels, 4 * channels, 8 * channels]
        layers: list[nn.Module] = []
        for taken, given in pairwise(widths):
            layers += [convolution(taken, given), nn.LeakyReLU(0.2)]
        super().__init__(*layers, convolution(widths[-1], 1))

    smallest_side = 32
    """Pixels below which five halvings leave nothing."""

    def forward(self, probabilities: Tensor) -> Tensor:
        """Logits of the target, one for each patch.

        Raises:
            ValueError: The maps are smaller than 32 pixels.
        """
        if min(probabilities.shape[-2:]) < self.smallest_side:
            height, width = probabilities.shape[-2:]
            raise ValueError(f"Maps are {width}x{height}; the discriminator halves them five times: 32x32 or more.")
        return super().forward(probabilities)


def _full(taken: int, given: int) -> nn.Module:
    return nn.Conv2d(taken, given, 4, stride=2, padding=1)


def _depthwise(taken: int, given: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(taken, taken, 4, stride=2, padding=1, groups=taken), nn.Conv2d(taken, given, 1))
