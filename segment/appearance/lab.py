"""sRGB to CIE L*a*b* and back: the space in which equal distances look equally large.

Style transfer moves colours in it, quality measures compare them in it.
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


def lab_to_rgb(lab: Tensor) -> Tensor:
    """The inverse, (B, 3, H, W); colours that sRGB does not have are clipped to [0, 1]."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    bent = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    matrix, white = (torch.tensor(values, dtype=lab.dtype, device=lab.device) for values in (_TO_XYZ, _WHITE))
    xyz = torch.where(bent > 6 / 29, bent**3, 108 / 841 * (bent - 16 / 116)) * white[:, None, None]
    inverse = torch.linalg.inv(matrix.double()).to(lab.dtype)
    linear = torch.einsum("ij,bjhw->bihw", inverse, xyz).clamp(0, 1)
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(1e-12) ** (1 / 2.4) - 0.055, 12.92 * linear)
