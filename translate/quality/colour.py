"""Colour statistics in CIE L*a*b*, in which a distance of about 2 is just visible wherever it lies.

Colour drift is the commonest complaint about unpaired translation; means and deviations show it in six numbers.
"""

import torch
from torch import Tensor

# IEC 61966-2-1 (sRGB) to CIE 1931 XYZ, and the white of illuminant D65 for the 2° observer.
_TO_XYZ = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(image: Tensor) -> Tensor:
    """sRGB in [0, 1], (B, 3, H, W), to L* in [0, 100] and a*, b* in about [-128, 127]."""
    linear = torch.where(image > 0.04045, ((image + 0.055) / 1.055) ** 2.4, image / 12.92)
    matrix, white = (torch.tensor(values, dtype=image.dtype, device=image.device) for values in (_TO_XYZ, _WHITE))
    xyz = torch.einsum("ij,bjhw->bihw", matrix, linear) / white[:, None, None]
    bent = torch.where(xyz > 216 / 24389, xyz.clamp_min(1e-12) ** (1 / 3), 841 / 108 * xyz + 16 / 116)
    x, y, z = bent.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_statistics(image: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of L*, a*, b* over each image's pixels: (B, 3, H, W) to (B, 3) and (B, 3)."""
    lab = rgb_to_lab(image)
    return lab.mean((2, 3)), lab.std((2, 3), correction=0)


def pooled_statistics(means: Tensor, deviations: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over all pixels of a set, (3,) each, from those of its images (N, 3), which count alike."""
    mean = means.mean(0)
    variance = (deviations.square() + (means - mean).square()).mean(0)  # within images, and between them
    return mean, variance.sqrt()


def colour_difference(first: Tensor, second: Tensor) -> float:
    """Delta E (CIE 1976): the Euclidean distance of two L*a*b* triples (3,)."""
    return float((first - second).norm())
