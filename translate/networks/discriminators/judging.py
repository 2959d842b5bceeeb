"""What discriminators have in common: the layers that judge, and the smallest image that leaves something to judge."""

from torch import Tensor, nn

from translate.networks.normalisation import Norm, has_bias, normalisation


def judging_layer(in_channels: int, out_channels: int, stride: int, norm: Norm) -> list[nn.Module]:
    """PatchGAN's layer: (B, in_channels, H, W) to (B, out_channels, h, w), by a 4x4 convolution."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size=4, stride=stride, padding=1, bias=has_bias(norm)),
        normalisation(norm, out_channels),
        nn.LeakyReLU(0.2, inplace=True),
    ]


def check_smallest(image: Tensor, smallest: int, remedy: str = "Use larger crops.") -> None:
    """ValueError, naming the remedy, unless both sides of (B, C, H, W) reach `smallest`."""
    height, width = image.shape[-2:]
    if min(height, width) < smallest:
        raise ValueError(f"Image is {width}x{height}; this discriminator needs sides of at least {smallest}. {remedy}")
