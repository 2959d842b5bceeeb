"""The generator of CycleGAN: two halvings, a chain of residual blocks, two doublings.

Architecture of Johnson et al. (ECCV 2016, arXiv:1603.08155) as Zhu et al. (ICCV 2017, arXiv:1703.10593, app. 7.2) use
it. Parameter names are those of the authors' published checkpoints, so that these load without a translation table.
"""

from torch import Tensor, nn

from translate.networks.initialisation import draw_weights


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input; size and channels stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.conv_block(features)


def _halve(channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1),
        nn.InstanceNorm2d(2 * channels),
        nn.ReLU(inplace=True),
    ]


def _double(channels: int) -> list[nn.Module]:
    return [
        nn.ConvTranspose2d(channels, channels // 2, kernel_size=3, stride=2, padding=1, output_padding=1),
        nn.InstanceNorm2d(channels // 2),
        nn.ReLU(inplace=True),
    ]


class ResnetGenerator(nn.Module):
    """Image to image of the same size, (B, 3, H, W) in [-1, 1] on both sides.

    Instance normalisation keeps no running statistics: each image is normalised by its own mean and variance, in
    training and evaluation alike. The output of one image is thus independent of the batch it came in, but depends on
    the whole image: a tile is not translated as the same pixels within a frame are.

    Args:
        blocks: Residual blocks; 9 for crops of 256 and more, 6 for 128 (Zhu et al., app. 7.2).
        base_channels: Channels at full resolution; the blocks work on four times as many.
    """

    side_multiple = 4
    """Both sides of an image must divide by this, or the doublings would not restore them."""
    smallest_side = 8
    """Reflection by one pixel at a quarter of the resolution needs two pixels there."""

    def __init__(self, *, blocks: int = 9, base_channels: int = 64) -> None:
        super().__init__()
        width = base_channels
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, kernel_size=7),
            nn.InstanceNorm2d(width),
            nn.ReLU(inplace=True),
            *_halve(width),  # (B, 2C, H/2, W/2)
            *_halve(2 * width),  # (B, 4C, H/4, W/4)
            *(ResidualBlock(4 * width) for _ in range(blocks)),
            *_double(4 * width),  # (B, 2C, H/2, W/2)
            *_double(2 * width),  # (B, C, H, W)
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, kernel_size=7),
            nn.Tanh(),
        )
        draw_weights(self)

    def forward(self, image: Tensor) -> Tensor:
        """Translate.

        Args:
            image: (B, 3, H, W) in [-1, 1]; sides divide by 4 and are at least 8.

        Returns:
            (B, 3, H, W) in [-1, 1].

        Raises:
            ValueError: A side does not divide by 4, or is below 8.
        """
        height, width = image.shape[-2:]
        if height % self.side_multiple or width % self.side_multiple or min(height, width) < self.smallest_side:
            raise ValueError(
                f"Image is {width}x{height}; sides must divide by {self.side_multiple} and be at least "
                f"{self.smallest_side}. Pad it with translate.padding.pad_to_multiple."
            )
        return self.model(image)
