"""The generators of pix2pixHD: a global network for the scene, and enhancers around it that add resolution.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", CVPR 2018
(arXiv:1711.11585), sec. 3.2. Parameter names are those of the authors' published checkpoints.
"""

from torch import Tensor, nn

from translate.fast.to_image import ToImageConv2d
from translate.networks.generators.residual_block import ResidualBlock
from translate.networks.initialisation import draw_convolutions
from translate.networks.normalisation import InstanceNorm2d
from translate.padding import check_sides


def opening(in_channels: int, channels: int) -> list[nn.Module]:
    """7x7 convolution at full resolution."""
    return [
        nn.ReflectionPad2d(3),
        nn.Conv2d(in_channels, channels, kernel_size=7),
        InstanceNorm2d(channels),
        nn.ReLU(inplace=True),
    ]


def halving(channels: int) -> list[nn.Module]:
    """(B, C, H, W) to (B, 2C, H/2, W/2)."""
    return [
        nn.Conv2d(channels, 2 * channels, kernel_size=3, stride=2, padding=1),
        InstanceNorm2d(2 * channels),
        nn.ReLU(inplace=True),
    ]


def doubling(channels: int) -> list[nn.Module]:
    """(B, C, H, W) to (B, C/2, 2H, 2W)."""
    return [
        nn.ConvTranspose2d(channels, channels // 2, kernel_size=3, stride=2, padding=1, output_padding=1),
        InstanceNorm2d(channels // 2),
        nn.ReLU(inplace=True),
    ]


def closing(channels: int, out_channels: int = 3) -> list[nn.Module]:
    """7x7 convolution to an image in [-1, 1]."""
    return [nn.ReflectionPad2d(3), ToImageConv2d(channels, out_channels, kernel_size=7), nn.Tanh()]


def encoding_and_decoding(in_channels: int, channels: int, halvings: int, blocks: int) -> list[nn.Module]:
    """The global network without its closing: (B, in_channels, H, W) to (B, channels, H, W)."""
    widths = [channels * 2**depth for depth in range(halvings + 1)]
    layers = opening(in_channels, channels)
    for width in widths[:-1]:
        layers += halving(width)
    layers += [ResidualBlock(widths[-1]) for _ in range(blocks)]
    for width in reversed(widths[1:]):
        layers += doubling(width)
    return layers


class GlobalGenerator(nn.Module):
    """Layout to image of the same size: (B, in_channels, H, W) to (B, 3, H, W) in [-1, 1].

    Args:
        in_channels: Of the layout: one-hot labels, edges, style.
        base_channels: Channels at full resolution; doubled by each halving.
        halvings: Both sides must divide by 2^halvings.
        blocks: Residual blocks at the lowest resolution.
    """

    def __init__(self, *, in_channels: int, base_channels: int = 64, halvings: int = 4, blocks: int = 9) -> None:
        super().__init__()
        _check_numbers(in_channels=in_channels, base_channels=base_channels, halvings=halvings, blocks=blocks)
        self.side_multiple = 2**halvings
        self.smallest_side = 2 * self.side_multiple
        self.model = nn.Sequential(
            *encoding_and_decoding(in_channels, base_channels, halvings, blocks), *closing(base_channels)
        )
        draw_convolutions(self)

    def forward(self, layout: Tensor) -> Tensor:
        """Synthesise; ValueError for a size that the halvings would not give back."""
        check_sides(layout, self.side_multiple, self.smallest_side, "Layout")
        return self.model(layout)


class LocalEnhancer(nn.Module):
    """The global generator at a fraction of the resolution, and around it enhancers, each of which doubles it.

    An enhancer adds its own low-level features to the features that the network inside it ends with. So the global
    generator's closing has no place in the result; `coarse_closing` is one for training the global generator alone.

    Args:
        in_channels: Of the layout.
        base_channels: Channels of the outermost enhancer at full resolution; doubled by each step inwards, so that 32
            holds a global generator of 64.
        halvings: Of the global generator.
        blocks: Of the global generator.
        enhancers: How many; 1 in the paper.
        enhancer_blocks: Residual blocks of each.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        base_channels: int = 32,
        halvings: int = 4,
        blocks: int = 9,
        enhancers: int = 1,
        enhancer_blocks: int = 3,
    ) -> None:
        super().__init__()
        _check_numbers(in_channels=in_channels, base_channels=base_channels, halvings=halvings, blocks=blocks)
        _check_numbers(enhancers=enhancers, enhancer_blocks=enhancer_blocks)
        self.enhancers = enhancers
        self.side_multiple = 2 ** (halvings + enhancers)
        self.smallest_side = 2 * self.side_multiple
        self.coarse_channels = base_channels * 2**enhancers
        self.model = nn.Sequential(*encoding_and_decoding(in_channels, self.coarse_channels, halvings, blocks))
        for number in range(1, enhancers + 1):
            width = base_channels * 2 ** (enhancers - number)
            self.add_module(f"model{number}_1", nn.Sequential(*opening(in_channels, width), *halving(width)))
            last = closing(width) if number == enhancers else []
            residual = (ResidualBlock(2 * width) for _ in range(enhancer_blocks))
            self.add_module(f"model{number}_2", nn.Sequential(*residual, *doubling(2 * width), *last))
        self.downsample = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
        draw_convolutions(self)

    def forward(self, layout: Tensor) -> Tensor:
        """Synthesise at full resolution; ValueError for a size that the halvings would not give back."""
        check_sides(layout, self.side_multiple, self.smallest_side, "Layout")
        layouts = [layout]
        for _ in range(self.enhancers):
            layouts.append(self.downsample(layouts[-1]))
        features = self.model(layouts.pop())
        for number in range(1, self.enhancers + 1):
            own = self.get_submodule(f"model{number}_1")(layouts.pop())
            features = self.get_submodule(f"model{number}_2")(own + features)
        return features

    def coarse(self, layout: Tensor) -> Tensor:
        """The layout as the global generator sees it: (B, C, H, W) to (B, C, H/2^n, W/2^n) for n enhancers."""
        for _ in range(self.enhancers):
            layout = self.downsample(layout)
        return layout


def coarse_closing(channels: int) -> nn.Sequential:
    """What the global generator inside a `LocalEnhancer` ends with, (B, C, h, w), to an image (B, 3, h, w)."""
    layers = nn.Sequential(*closing(channels))
    draw_convolutions(layers)
    return layers


def _check_numbers(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} is {number}; expected at least 1.")
