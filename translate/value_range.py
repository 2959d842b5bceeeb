"""Between the [0, 1] that images have everywhere and the [-1, 1] that generators and discriminators work in."""

from torch import Tensor


def to_signed(image: Tensor) -> Tensor:
    """Image in [0, 1] to [-1, 1]."""
    return image * 2 - 1


def to_unit(image: Tensor) -> Tensor:
    """Image in [-1, 1] to [0, 1], float32 and clamped: the rounding of bfloat16 may leave the range by a hair."""
    return ((image.float() + 1) / 2).clamp(0, 1)
