"""The generator of CycleGAN: two halvings, a chain of residual blocks, two doublings.

Architecture of Johnson et al. (ECCV 2016, arXiv:1603.08155) as Zhu et al. (ICCV 2017, arXiv:1703.10593, app. 7.2) use
it. Parameter names are those of the authors' published checkpoints, so that these load without a translation table.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from translate.fast.to_image import ToImageConv2d
from translate.networks.antialiasing import BlurredDoubling, BlurredHalving
from translate.networks.generators.residual_block import ResidualBlock
from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm, has_bias, normalisation
from translate.padding import check_sides

Antialias = Literal[False, True, "halving", "doubling"]
"""Where a generator blurs: nowhere, where it halves and where it doubles, or at one of them."""


def _halve(channels: int, norm: Norm, antialias: Antialias) -> list[nn.Module]:
    blurs = antialias in (True, "halving")
    stride = 1 if blurs else 2
    layers = [
        nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=stride, padding=1, bias=has_bias(norm)),
        normalisation(norm, 2 * channels),
        nn.ReLU(inplace=True),
    ]
    return [*layers, BlurredHalving(2 * channels)] if blurs else layers


def _double(channels: int, norm: Norm, antialias: Antialias) -> list[nn.Module]:
    half, bias = channels // 2, has_bias(norm)
    if antialias in (True, "doubling"):
        grow = [BlurredDoubling(channels), nn.Conv2d(channels, half, kernel_size=3, padding=1, bias=bias)]
    else:
        grow = [nn.ConvTranspose2d(channels, half, kernel_size=3, stride=2, padding=1, output_padding=1, bias=bias)]
    return [*grow, normalisation(norm, half), nn.ReLU(inplace=True)]


class ResnetGenerator(nn.Module):
    """Image to image of the same size, (B, C, H, W) in [-1, 1] on both sides.

    Instance normalisation keeps no running statistics: each image is normalised by its own mean and variance, in
    training and evaluation alike. The output of one image is thus independent of the batch it came in, but depends on
    the whole image: a tile is not translated as the same pixels within a frame are.

    Args:
        blocks: Residual blocks; 9 for crops of 256 and more, 6 for 128 (Zhu et al., app. 7.2).
        base_channels: Channels at full resolution; the blocks work on four times as many.
        norm: "instance" or "batch".
        initialisation: Key of INITIALISATIONS.
        dropout: Within the blocks, as pix2pix has it.
        antialias: Blur before halving and after doubling, as CUT's published generators do (Park et al., ECCV 2020);
            "halving" or "doubling": only there, as its code's --no_antialias_up and --no_antialias have it.
        in_channels: 3 for an image.
        out_channels: 3 for an image.
    """

    side_multiple = 4
    """Both sides of an image must divide by this, or the doublings would not restore them."""
    smallest_side = 8
    """Reflection by one pixel at a quarter of the resolution needs two pixels there."""

    def __init__(
        self,
        *,
        blocks: int = 9,
        base_channels: int = 64,
        norm: Norm = "instance",
        initialisation: str = "normal",
        dropout: bool = False,
        antialias: Antialias = False,
        in_channels: int = 3,
        out_channels: int = 3,
    ) -> None:
        super().__init__()
        width = base_channels
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(in_channels, width, kernel_size=7, bias=has_bias(norm)),
            normalisation(norm, width),
            nn.ReLU(inplace=True),
            *_halve(width, norm, antialias),  # (B, 2C, H/2, W/2)
            *_halve(2 * width, norm, antialias),  # (B, 4C, H/4, W/4)
            *(ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)),
            *_double(4 * width, norm, antialias),  # (B, 2C, H/2, W/2)
            *_double(2 * width, norm, antialias),  # (B, C, H, W)
            nn.ReflectionPad2d(3),
            ToImageConv2d(width, out_channels, kernel_size=7),
            nn.Tanh(),
        )
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (B, C, H, W) in [-1, 1]; sides divide by 4 and are at least 8.

        Returns:
            (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: A side does not divide by 4, or is below 8.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        return self.model(image)

    def features(self, image: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """What the given layers of `model` put out, in ascending order; nothing is computed beyond the last of them.

        Args:
            image: As for `forward`.
            layers: Positions in `model`, from 0.

        Returns:
            One (B, C, h, w) per layer.

        Raises:
            ValueError: There is no such layer, or as for `forward`.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        if not layers or min(layers) < 0 or max(layers) >= len(self.model):
            raise ValueError(f"Layers are {list(layers)}; expected positions from 0 to {len(self.model) - 1}.")
        found = []
        for place, layer in enumerate(self.model[: max(layers) + 1]):
            # The activations work in place, which must not change what was just found.
            changes_it = isinstance(layer, nn.ReLU) and place - 1 in layers
            image = layer(image.clone() if changes_it else image)
            if place in layers:
                found.append(image)
        return found

    def with_features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The translation, and what the given layers of `model` put out on the way, as far as nothing after them works
        in place.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        found = []
        for place, layer in enumerate(self.model):
            image = layer(image)
            if place in layers:
                found.append(image)
        return image, found

    def compared_layers(self) -> dict[int, int]:
        """The layers whose features CUT compares: position in `model`, and channels.

        Pixels, both halving convolutions, the first and the fifth residual block (Park et al., ECCV 2020, app. C.1): 0,
        4, 8, 12, 16 with antialiasing, 0, 4, 7, 10, 14 without.
        """
        layers = list(enumerate(self.model))
        convolutions = [(place, layer) for place, layer in layers if isinstance(layer, nn.Conv2d)]
        blocks = [place for place, layer in layers if isinstance(layer, ResidualBlock)]
        opening, first, second = (layer for _, layer in convolutions[:3])
        widest = second.out_channels
        return {
            0: opening.in_channels,
            convolutions[1][0]: first.out_channels,
            convolutions[2][0]: widest,
            blocks[0]: widest,
            blocks[4]: widest,
        }
