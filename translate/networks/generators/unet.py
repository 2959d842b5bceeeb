"""The generator of pix2pix: an encoder and a decoder with a shortcut between every pair of equal sizes.

Ronneberger et al. (MICCAI 2015, arXiv:1505.04597) as Isola et al. (CVPR 2017, arXiv:1611.07004, app. 6.1) use it. Each
level holds the next one within itself, so that parameter names are those of the authors' published checkpoints.
"""

import torch
from torch import Tensor, nn

from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm, has_bias, normalisation
from translate.padding import check_sides


class _Level(nn.Module):
    """Halve, pass through the levels within, double; the input is put beside the result.

    Args:
        outside: Channels that come in and go out.
        inside: Channels after halving.
        within: The next level; None for the innermost.
        norm: "instance" or "batch".
        dropout: After doubling.
    """

    def __init__(self, outside: int, inside: int, within: "_Level | None", norm: Norm, dropout: bool) -> None:
        super().__init__()
        bias = has_bias(norm)
        halve = nn.Conv2d(outside, inside, kernel_size=4, stride=2, padding=1, bias=bias)
        coming_up = inside if within is None else 2 * inside
        double = nn.ConvTranspose2d(coming_up, outside, kernel_size=4, stride=2, padding=1, bias=bias)
        middle = [] if within is None else [normalisation(norm, inside), within]
        self.model = nn.Sequential(
            nn.LeakyReLU(0.2),
            halve,
            *middle,
            nn.ReLU(),
            double,
            normalisation(norm, outside),
            *([nn.Dropout(0.5)] if dropout else []),
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([features, self.model(features)], dim=1)


class _Outermost(nn.Module):
    """From image to features and back; no normalisation, no shortcut around it."""

    def __init__(self, in_channels: int, out_channels: int, width: int, within: _Level, norm: Norm) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=4, stride=2, padding=1, bias=has_bias(norm)),
            within,
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, out_channels, kernel_size=4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


class UnetGenerator(nn.Module):
    """Image to image of the same size, (B, C, H, W) in [-1, 1] on both sides.

    Args:
        halvings: 7 brings 128 pixels down to one, 8 brings 256.
        base_channels: Channels after the first halving; doubled by each of the next three.
        norm: "instance" or "batch".
        initialisation: Key of INITIALISATIONS.
        dropout: On the levels between the innermost and the widest, as pix2pix has it, where it is the noise.
        in_channels: 3 for an image.
        out_channels: 3 for an image.
    """

    def __init__(
        self,
        *,
        halvings: int = 8,
        base_channels: int = 64,
        norm: Norm = "instance",
        initialisation: str = "normal",
        dropout: bool = False,
        in_channels: int = 3,
        out_channels: int = 3,
    ) -> None:
        super().__init__()
        if halvings < 5:
            raise ValueError(f"A U-Net generator has at least 5 halvings, not {halvings}.")
        self.side_multiple = self.smallest_side = 2**halvings
        width = base_channels
        level = _Level(8 * width, 8 * width, None, norm, dropout=False)
        for _ in range(halvings - 5):
            level = _Level(8 * width, 8 * width, level, norm, dropout)
        for factor in (4, 2, 1):
            level = _Level(factor * width, 2 * factor * width, level, norm, dropout=False)
        self.model = _Outermost(in_channels, out_channels, width, level, norm)
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (B, C, H, W) in [-1, 1]; sides divide by 2^halvings.

        Returns:
            (B, C, H, W) in [-1, 1].

        Raises:
            ValueError: A side does not divide.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        return self.model(image)
