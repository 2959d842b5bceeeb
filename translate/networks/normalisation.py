"""Instance or batch normalisation, by name.

Instance normalisation (Ulyanov et al., arXiv:1607.08022) keeps no running statistics and nothing learnt, as in
CycleGAN; batch normalisation (Ioffe and Szegedy, ICML 2015) is pix2pix's.
"""

from typing import Literal

from torch import nn

Norm = Literal["instance", "batch"]


def normalisation(norm: Norm, channels: int) -> nn.Module:
    """A layer for maps of `channels` channels; ValueError if `norm` is neither name."""
    if norm == "instance":
        return nn.InstanceNorm2d(channels)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    raise ValueError(f"There is no norm {norm!r}; the valid ones are instance, batch.")


def has_bias(norm: Norm) -> bool:
    """Whether the convolution before it has a bias: batch normalisation brings its own."""
    return norm == "instance"
