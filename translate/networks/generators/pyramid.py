"""A generator of bands: a small network translates a shrunk image, and masks carry the change up to full resolution.

Liang, Zeng, Zhang, "High-Resolution Photorealistic Image Translation in Real-Time: A Laplacian Pyramid Translation
Network", CVPR 2021 (arXiv:2105.09188). Nothing wide is computed at full resolution, so that 4K frames pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from translate.networks.generators.encoding import features_of, walk
from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm, has_bias, normalisation
from translate.padding import check_sides


def split_bands(image: Tensor, bands: int) -> tuple[list[Tensor], Tensor]:
    """What each octave holds, the finest first, and what is left: the image at 1 / 2^bands of its size.

    Args:
        image: (B, C, H, W); sides divide by 2^bands.
        bands: How many octaves.

    Returns:
        (B, C, H / 2^i, W / 2^i) for i from 0 to bands - 1, and (B, C, H / 2^bands, W / 2^bands). `grown` of the one
        below, added to a band, is the image at the band's size.
    """
    found = []
    for _ in range(bands):
        smaller = functional.avg_pool2d(image, 2)
        found.append(image - grown(smaller))
        image = smaller
    return found, image


def grown(image: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H, 2W), bilinear."""
    return functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)


class _Block(nn.Module):
    """Two 3x3 convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.block(features)


class PyramidGenerator(nn.Module):
    """Image to image of the same size, (B, C, H, W) in [-1, 1] on both sides.

    With 64 channels and 3 bands 20,438 multiply-adds a pixel.

    Differs from the paper: bands are parted by means of 2x2 pixels and bilinear growth instead of a 5x5 filter, as
    exact and cheaper; the networks say what is *added* to the lowest band and to masks of 1, so that a fresh generator
    gives back the image; the result is clamped instead of the lowest band being squeezed by a tanh.

    Args:
        bands: Octaves that masks are for; both sides must divide by 2^bands. 3 in the paper.
        blocks: Residual blocks at the lowest band.
        mask_blocks: Residual blocks of the first mask, at the lowest octave.
        base_channels: Width of the blocks; a quarter of it around them.
        norm: "instance", as in the paper, or "batch"; there is one normalisation, at the lowest band.
        initialisation: Key of INITIALISATIONS.
        channels: 3 for an image, on both sides.
    """

    def __init__(
        self,
        *,
        bands: int = 3,
        blocks: int = 5,
        mask_blocks: int = 3,
        base_channels: int = 64,
        norm: Norm = "instance",
        initialisation: str = "normal",
        channels: int = 3,
    ) -> None:
        super().__init__()
        if min(bands, blocks, mask_blocks) < 1:
            raise ValueError(
                f"A pyramid generator has at least 1 of each: bands {bands}, blocks {blocks}, mask_blocks "
                f"{mask_blocks}."
            )
        self.bands = bands
        self.side_multiple = 2**bands
        self.smallest_side = 2 * self.side_multiple
        # How far a pixel sees, for tiles: each convolution of a network, and growth, by one pixel of its resolution.
        self.reach = self.side_multiple * (2 * blocks + 5) + self.side_multiple // 2 * (2 * mask_blocks + 3)
        width, narrow = base_channels, max(1, base_channels // 4)
        self.low = nn.Sequential(
            nn.Conv2d(channels, narrow, kernel_size=3, padding=1, bias=has_bias(norm)),
            normalisation(norm, narrow),
            nn.LeakyReLU(),
            nn.Conv2d(narrow, width, kernel_size=3, padding=1),
            nn.LeakyReLU(),
            *(_Block(width) for _ in range(blocks)),
            nn.Conv2d(width, narrow, kernel_size=3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(narrow, channels, kernel_size=3, padding=1),
        )
        self.mask = nn.Sequential(
            nn.Conv2d(3 * channels, width, kernel_size=3, padding=1),
            nn.LeakyReLU(),
            *(_Block(width) for _ in range(mask_blocks)),
            nn.Conv2d(width, channels, kernel_size=3, padding=1),
        )
        self.finer_masks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, narrow, 1), nn.LeakyReLU(), nn.Conv2d(narrow, channels, 1))
            for _ in range(bands - 1)
        )
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (B, C, H, W) in [-1, 1]; sides divide by 2^bands and are at least twice that.

        Returns:
            (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: A side does not divide, or is too small.
        """
        return self.with_features(image, ())[0]

    def with_features(self, image: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """The translation, and what the given layers of the lowest band's network put out; see `features`."""
        check_sides(image, self.side_multiple, self.smallest_side)
        octaves, lowest = split_bands(image, self.bands)
        change, found = walk(self.low, lowest, layers)
        translated = lowest + change
        mask = self.mask(torch.cat([octaves[-1], grown(lowest), grown(translated)], dim=1))
        translated = grown(translated) + octaves[-1] * (1 + mask)
        for octave, finer in zip(reversed(octaves[:-1]), self.finer_masks, strict=True):
            mask = grown(mask)
            mask = mask + finer(mask)
            translated = grown(translated) + octave * (1 + mask)
        return _Clamp.apply(translated), found

    def features(self, image: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """What the given layers of the lowest band's network put out, in ascending order.

        Args:
            image: As for `forward`.
            layers: 0 for the lowest band itself, else positions in `low`, counted from 1.

        Returns:
            One (B, C, h, w) per layer.

        Raises:
            ValueError: There is no such layer, or as for `forward`.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        return features_of(self.low, split_bands(image, self.bands)[1], layers)

    def compared_layers(self) -> dict[int, int]:
        """The layers by which CUT compares patches, and their channels: the lowest band, what leads to the blocks, the
        first and the last of these.
        """
        narrow, width = self.low[0].out_channels, self.low[3].out_channels
        blocks = [place for place, layer in enumerate(self.low, start=1) if isinstance(layer, _Block)]
        return {0: self.low[0].in_channels, 3: narrow, 5: width, blocks[0]: width, blocks[-1]: width}


class _Clamp(torch.autograd.Function):
    """Within [-1, 1]; beyond, only a gradient that leads back passes.

    A pixel that went too far must find its way back, so a plain clamp, which passes none, will not do. Nor may a loss
    that asks for more drive it on, where the image no longer answers: an adversarial one then has no end, and training
    ends in black and white.
    """

    @staticmethod
    def forward(context: FunctionCtx, image: Tensor) -> Tensor:
        context.save_for_backward(image)
        return image.clamp(-1, 1)

    @staticmethod
    def backward(context: FunctionCtx, gradient: Tensor) -> Tensor:
        (image,) = context.saved_tensors
        # Descent adds minus the gradient.
        leads_on = ((image > 1) & (gradient < 0)) | ((image < -1) & (gradient > 0))
        return gradient.masked_fill(leads_on, 0)
