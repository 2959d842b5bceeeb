"""Noise as a camera's sensor makes it: more of it where there is more light. Rendered frames have none."""

import math

from torch import Tensor

SHOT_RANGE = (1e-4, 0.012)
"""Range of the variance per unit of light; log-uniform, after Brooks et al., CVPR 2019 (arXiv:1811.11127), sec. 3.1."""


def sensor_noise(image: Tensor, normal: Tensor, shot: Tensor | float, read: Tensor | float) -> Tensor:
    """Add Poissonian-Gaussian noise in its usual Gaussian form: variance shot * light + read.

    Args:
        image: (..., 3, H, W) in [0, 1]; its values are taken for light, though sRGB is bent.
        normal: Standard normal draws, of the image's shape.
        shot: Variance per unit of light: photons arrive at random. A number, or a tensor that broadcasts.
        read: Variance in the dark: of the electronics. As `shot`.

    Returns:
        As `image`, clipped to [0, 1].

    Source: Foi et al., IEEE Trans. Image Processing 2008, eq. 3.
    """
    return (image + (image * shot + read).sqrt() * normal).clamp(0, 1)


def shot_and_read(position: float, deviation: float) -> tuple[float, float]:
    """The two variances of one camera setting (its ISO), which rise together.

    Args:
        position: Uniform draw in [0, 1]: how much light the exposure lacked.
        deviation: Standard normal draw: how far this sensor is off the common line.

    Source: Brooks et al. 2019, sec. 3.1: the line that they fitted to real cameras.
    """
    low, high = map(math.log, SHOT_RANGE)
    log_shot = low + position * (high - low)
    return math.exp(log_shot), math.exp(2.18 * log_shot + 1.2 + 0.26 * deviation)
