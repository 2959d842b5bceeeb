"""Pointwise networks in the processor's cache: the masks of the pyramid generator's finest octaves.

Their 16 channels at full resolution are 33 MB a map for a frame of 1024x512. Written out between the layers they are
fetched from memory again by each; pixels being independent, a strip of them can go through all layers at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRIP = 8192
"""Pixels at once: 0.5 MB for 16 channels."""
MOST_CHANNELS = 32
"""Wider layers are busy with their products, for which torch has better than what is written here."""
FUNCTIONS = (nn.LeakyReLU, nn.ReLU)


class PointwiseStrips(nn.Module):
    """1x1 convolutions and pointwise functions, one after another, strip by strip. For inference.

    3 to 16 to 3 channels at 1024x512 on one core of an AMD EPYC (AVX2 alone), CPU time: 21.5 ms, so 12.8.

    Args:
        layers: That `suits`; they stay as they are.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) to (B, O, H, W)."""
        images = features.flatten(2)  # (B, C, H * W)
        outputs = [layer.out_channels for layer in self.layers if isinstance(layer, nn.Conv2d)][-1]
        found = images.new_empty(len(images), outputs, images.shape[2])
        for image, result in zip(images, found, strict=True):
            for strip, place in zip(image.split(STRIP, 1), result.split(STRIP, 1), strict=True):
                place.copy_(self._strip(strip))
        return found.unflatten(2, features.shape[2:])

    def _strip(self, strip: Tensor) -> Tensor:
        """(C, P) to (O, P)."""
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                weight = layer.weight.flatten(1)
                strip = weight @ strip if layer.bias is None else torch.addmm(layer.bias[:, None], weight, strip)
            else:
                strip = layer(strip)
        return strip


def suits(layers: Sequence[nn.Module]) -> bool:
    """Whether there are two narrow 1x1 convolutions at least, and nothing that looks beyond a pixel."""
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    pointwise = all(isinstance(layer, (nn.Conv2d, *FUNCTIONS)) for layer in layers)
    return pointwise and len(convolutions) > 1 and all(map(_pointwise, convolutions))


def _pointwise(convolution: nn.Conv2d) -> bool:
    plain = convolution.kernel_size == convolution.stride == (1, 1) and convolution.groups == 1
    return plain and convolution.padding == (0, 0) and convolution.out_channels <= MOST_CHANNELS
