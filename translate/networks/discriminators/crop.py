"""The discriminator of HyPER-GAN: three halvings and one look across channels, for crops that are judged as such.

Pasios and Nikolaidis, arXiv:2603.10604 (2026). It sees 22 pixels, so it is about texture alone: what is where, a
student learns from its teacher. Parameter names are those of the authors' code.
"""

from torch import Tensor, nn

from translate.networks.discriminators.judging import check_smallest, judging_layer
from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm


class CropDiscriminator(nn.Module):
    """Crop (B, C, H, W) in [-1, 1] to unbounded judgements (B, 1, H/8, W/8), rounded down; high means real.

    Args:
        base_channels: Channels of the first layer; doubled by each of the two further ones.
        in_channels: 3 for an image.
        norm: "instance" or "batch".
        initialisation: Key of INITIALISATIONS.
    """

    smallest_side = 16
    """Instance normalisation at an eighth of the resolution needs more than one pixel there."""

    def __init__(
        self,
        *,
        base_channels: int = 64,
        in_channels: int = 3,
        norm: Norm = "instance",
        initialisation: str = "normal",
    ) -> None:
        super().__init__()
        width = base_channels
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *judging_layer(width, 2 * width, 2, norm),
            *judging_layer(2 * width, 4 * width, 2, norm),
            nn.Conv2d(4 * width, 1, kernel_size=1),
        )
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Judge.

        Raises:
            ValueError: A side is below 16.
        """
        check_smallest(image, self.smallest_side)
        return self.net(image)
