"""The discriminator that sees single pixels: a judge of colour alone.

"PixelGAN" of Isola et al. (CVPR 2017, arXiv:1611.07004, sec. 4.4). Parameter names are those of the authors' code.
"""

from torch import Tensor, nn

from translate.networks.discriminators.judging import check_smallest
from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm, has_bias, normalisation


class PixelDiscriminator(nn.Module):
    """Image (B, C, H, W) in [-1, 1] to one unbounded judgement per pixel, (B, 1, H, W); high means real.

    Args:
        base_channels: Channels of the first layer; the second has twice as many.
        in_channels: 3 for an image.
        norm: "instance" or "batch".
        initialisation: Key of INITIALISATIONS.
    """

    smallest_side = 2
    """Instance normalisation over a single pixel would leave nothing."""

    def __init__(
        self,
        *,
        base_channels: int = 64,
        in_channels: int = 3,
        norm: Norm = "instance",
        initialisation: str = "normal",
    ) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, base_channels, kernel_size=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(base_channels, 2 * base_channels, kernel_size=1, bias=has_bias(norm)),
            normalisation(norm, 2 * base_channels),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * base_channels, 1, kernel_size=1, bias=has_bias(norm)),
        )
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Judge every pixel.

        Raises:
            ValueError: A side is below 2.
        """
        check_smallest(image, self.smallest_side)
        return self.net(image)
