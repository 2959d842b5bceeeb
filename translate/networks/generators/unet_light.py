"""The generator of HyPER-GAN: a U-Net of three halvings that is light enough for every frame of a running simulator.

Pasios and Nikolaidis, arXiv:2603.10604 (2026). All wide layers work at an eighth of the resolution, so that it takes
6.5 times fewer products than a ResNet-9. Parameter names are those of the authors' published checkpoints.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from translate.networks.generators.encoding import features_of, walk
from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm, has_bias, normalisation
from translate.padding import check_sides

BLOCKS = 4


def _halve(inside: int, outside: int, norm: Norm) -> nn.Sequential:
    """(B, inside, H, W) to (B, outside, H/2, W/2)."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel_size=4, stride=2, padding=1, bias=has_bias(norm)),
        normalisation(norm, outside),
        nn.ReLU(inplace=True),
    )


def _double(inside: int, outside: int, norm: Norm) -> nn.Sequential:
    """(B, inside, H, W) to (B, outside, 2H, 2W)."""
    return nn.Sequential(
        nn.ConvTranspose2d(inside, outside, kernel_size=4, stride=2, padding=1, bias=has_bias(norm)),
        normalisation(norm, outside),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """Two zero-padded 3x3 convolutions added to their input; nothing after the sum."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=has_bias(norm)),
            normalisation(norm, channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=has_bias(norm)),
            normalisation(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.block(features)


class UnetLightGenerator(nn.Module):
    """Image to image of the same size, (B, C, H, W) in [-1, 1] on both sides.

    With 64 channels 117,000 multiply-adds a pixel, with 32 a quarter of it.

    Args:
        base_channels: Channels after the first halving; doubled by each of the next two. 64 in the published files.
        norm: "instance", as published, or "batch".
        initialisation: Key of INITIALISATIONS.
        in_channels: 3 for an image.
        out_channels: 3 for an image.
    """

    side_multiple = 8
    """Both sides of an image must divide by this, or the doublings would not restore them."""
    smallest_side = 16
    """Instance normalisation at an eighth of the resolution needs more than one pixel there."""

    def __init__(
        self,
        *,
        base_channels: int = 64,
        norm: Norm = "instance",
        initialisation: str = "normal",
        in_channels: int = 3,
        out_channels: int = 3,
    ) -> None:
        super().__init__()
        width = base_channels
        self.enc1 = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=4, stride=2, padding=1), nn.ReLU(inplace=True)
        )
        self.enc2 = _halve(width, 2 * width, norm)
        self.enc3 = _halve(2 * width, 4 * width, norm)
        self.middle = nn.Sequential(*(_Block(4 * width, norm) for _ in range(BLOCKS)))
        self.dec3 = _double(4 * width, 2 * width, norm)
        self.dec2 = _double(4 * width, width, norm)
        self.dec1 = nn.Sequential(
            nn.ConvTranspose2d(2 * width, out_channels, kernel_size=4, stride=2, padding=1), nn.Tanh()
        )
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (B, C, H, W) in [-1, 1]; sides divide by 8 and are at least 16.

        Returns:
            (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: A side does not divide by 8, or is below 16.
        """
        return self.with_features(image, ())[0]

    def with_features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The translation, and what the given layers of the encoder put out on the way; see `features`."""
        check_sides(image, self.side_multiple, self.smallest_side)
        encoder = self._encoder()
        features, put_out = walk(encoder, image, range(len(encoder) + 1))
        features = self.dec3(features)
        features = self.dec2(torch.cat([features, put_out[2]], dim=1))
        return self.dec1(torch.cat([features, put_out[1]], dim=1)), [put_out[layer] for layer in sorted(set(layers))]

    def features(self, image: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """What the given layers of the encoder put out, in ascending order; nothing is computed beyond the last.

        Args:
            image: As for `forward`.
            layers: 0 for the image itself, 1 to 3 for the halvings, 4 to 7 for the blocks.

        Returns:
            One (B, C, h, w) per layer.

        Raises:
            ValueError: There is no such layer, or as for `forward`.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        return features_of(self._encoder(), image, layers)

    def compared_layers(self) -> dict[int, int]:
        """The layers by which CUT compares patches, and their channels: pixels, two halvings, first and last block."""
        width = self.enc1[0].out_channels
        return {0: self.enc1[0].in_channels, 1: width, 2: 2 * width, 4: 4 * width, 3 + BLOCKS: 4 * width}

    def _encoder(self) -> list[nn.Module]:
        return [self.enc1, self.enc2, self.enc3, *self.middle]
