"""What an encoder is to the decoder that stands on it: an image in, five maps of features out, each half as large.

A decoder that asks for no more than this takes any encoder, and what else wants features (a perceptual loss, a distance
between sets of images) can take it without a segmenter around.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import ClassVar

from torch import Tensor, nn

from segment.networks.segmenter import IMAGENET_MEAN, IMAGENET_STD

STRIDES = (2, 4, 8, 16, 32)
"""Of the five maps."""

Maps = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class Encoder(nn.Module, ABC):
    """Base of the encoders that may stand under any decoder."""

    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    """Of red, green and blue in 0..1, as its published weights were trained with."""
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    """As `mean`."""
    channels: tuple[int, int, int, int, int]
    """Of the five maps."""
    deepest: str
    """The submodule whose output is the map at 1/32."""

    @abstractmethod
    def forward(self, normalised: Tensor) -> Maps:
        """Maps of features at 1/2, 1/4, 1/8, 1/16 and 1/32.

        Args:
            normalised: (B, 3, H, W); where H and W divide by 32, so do the maps' sizes by what is left of it.

        Returns:
            (B, channels[i], ceil(H / STRIDES[i]), ceil(W / STRIDES[i])) each, finest first.
        """

    def normalised(self, image: Tensor) -> Tensor:
        """An RGB image (B, 3, H, W) in [0, 1] as `forward` takes it."""
        mean, std = (image.new_tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std


def maps_behind(layers: Iterable[nn.Module], last: Collection[int], x: Tensor) -> Maps:
    """Pass `x` through layers one after the other; what comes out of those whose numbers are in `last`, five in all."""
    maps = []
    for number, layer in enumerate(layers):
        x = layer(x)
        if number in last:
            maps.append(x)
    return tuple(maps)
