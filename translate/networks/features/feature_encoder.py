"""The feature encoder of pix2pixHD: what an instance looks like, in a few numbers.

Wang et al., CVPR 2018 (arXiv:1711.11585), sec. 3.4. A layout does not say whether a car is red. The encoder reads it
off the real image, as a mean over the instance, so the generator need not guess; at use, other numbers are other cars.
"""

from torch import Tensor, nn

from translate.layouts import instance_means
from translate.networks.generators.pix2pixhd import closing, doubling, halving, opening
from translate.networks.initialisation import draw_convolutions
from translate.padding import check_sides


class FeatureEncoder(nn.Module):
    """Image (B, 3, H, W) in [-1, 1] to one style per instance, (R, features) in [-1, 1].

    Args:
        features: Numbers per instance.
        base_channels: Channels at full resolution; doubled by each halving.
        halvings: Both sides must divide by 2^halvings.
    """

    def __init__(self, *, features: int = 3, base_channels: int = 16, halvings: int = 4) -> None:
        super().__init__()
        if min(features, base_channels, halvings) < 1:
            raise ValueError(
                f"A feature encoder has at least 1 of each: features {features}, base_channels {base_channels}, "
                f"halvings {halvings}."
            )
        self.side_multiple = 2**halvings
        self.smallest_side = 2 * self.side_multiple  # instance normalisation needs more than one pixel there
        widths = [base_channels * 2**depth for depth in range(halvings + 1)]
        layers = opening(3, base_channels)
        for width in widths[:-1]:
            layers += halving(width)
        for width in reversed(widths[1:]):
            layers += doubling(width)
        self.model = nn.Sequential(*layers, *closing(base_channels, features))
        draw_convolutions(self)

    def forward(self, image: Tensor, numbers: Tensor) -> Tensor:
        """Encode.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            numbers: int64 (B, H, W), which instance a pixel belongs to, numbered from 0 through the whole batch
                (`translate.layouts.regions`).

        Returns:
            (R, features): the mean of each instance; `translate.layouts.painted` brings it back to the pixels.

        Raises:
            ValueError: A side does not divide by 2^halvings, or is less than twice that.
        """
        check_sides(image, self.side_multiple, self.smallest_side)
        return instance_means(self.model(image), numbers)
