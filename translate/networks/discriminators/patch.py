"""The discriminator of CycleGAN and pix2pix: judges overlapping patches, never the whole image.

PatchGAN of Isola et al. (CVPR 2017, arXiv:1611.07004, sec. 3.2.2): few parameters, any image size, and a loss that is
about texture, which is what must change. Parameter names are those of the authors' published checkpoints;
antialiased, of CUT's.
"""

from torch import Tensor, nn

from translate.networks.antialiasing import BlurredHalving
from translate.networks.discriminators.judging import check_smallest, judging_layer
from translate.networks.initialisation import draw_weights
from translate.networks.normalisation import Norm


class PatchDiscriminator(nn.Module):
    """Image (B, C, H, W) in [-1, 1] to one unbounded judgement per patch, (B, 1, h, w); high means real.

    Args:
        layers: Halvings; 1, 2, 3, 4, 5 see patches of 16, 34, 70, 142, 286 pixels. h is H / 2^layers - 2, rounded down.
        base_channels: Channels of the first layer; doubled by each further layer, up to eight times.
        in_channels: 3 for an image, more where it judges an image beside what it was made of (pix2pix).
        norm: "instance" or "batch".
        initialisation: Key of INITIALISATIONS.
        antialias: Convolve at full resolution and blur before each halving, as CUT's published discriminators do (Park
            et al., ECCV 2020); 3 layers then see patches of 84 pixels.
    """

    def __init__(
        self,
        *,
        layers: int = 3,
        base_channels: int = 64,
        in_channels: int = 3,
        norm: Norm = "instance",
        initialisation: str = "normal",
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ValueError(f"A patch discriminator has at least 1 layer, not {layers}.")
        self.smallest_side = 3 * 2**layers
        widths = [base_channels * min(2**depth, 8) for depth in range(layers + 1)]
        stride = 1 if antialias else 2
        middle: list[nn.Module] = []
        for depth in range(1, layers):
            middle += judging_layer(widths[depth - 1], widths[depth], stride, norm)
            middle += _blurred(antialias, widths[depth])
        middle += judging_layer(widths[-2], widths[-1], 1, norm)
        self.model = nn.Sequential(
            nn.Conv2d(in_channels, base_channels, kernel_size=4, stride=stride, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            *_blurred(antialias, base_channels),
            *middle,
            nn.Conv2d(widths[-1], 1, kernel_size=4, stride=1, padding=1),
        )
        draw_weights(self, initialisation)

    def forward(self, image: Tensor) -> Tensor:
        """Judge every patch.

        Raises:
            ValueError: A side is too small for a single judgement.
        """
        check_smallest(image, self.smallest_side, "Use larger crops or fewer layers.")
        return self.model(image)


def _blurred(antialias: bool, channels: int) -> list[nn.Module]:
    """What halves after a layer that does not; nothing after one that does."""
    return [BlurredHalving(channels)] if antialias else []
