"""Whether a translation kept the edges where they were: the labels are carried along and move for nobody.

Colours may change freely, so gradients are compared and not images: SSIM of gradient magnitudes, after Chen et al.,
ICIP 2006 (gradient-based structural similarity).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from translate.quality.spectrum import luminance

RADIUS, SIGMA = 5, 1.5
"""SSIM's Gaussian window of 11x11 pixels."""


def structure_score(source: Tensor, translated: Tensor) -> Tensor:
    """Edge retention of each image: SSIM between the gradient magnitudes of source and translation.

    Args:
        source: (B, 3, H, W) in [0, 1], sides of at least 11.
        translated: Of the same shape.

    Returns:
        (B,), 1 where every edge is as strong as before; flat areas that stayed flat count as kept.

    Raises:
        ValueError: The shapes differ, or a side is below 11.
    """
    return structural_similarity(gradient_magnitude(source), gradient_magnitude(translated))


def gradient_magnitude(image: Tensor) -> Tensor:
    """Length of the Sobel gradient of the luma, (B, 3, H, W) in [0, 1] to (B, 1, H, W) in [0, 1].

    A step from black to white along an axis gives 1/√2, for the longest gradient possible is scaled to 1.
    """
    smooth, slope = torch.tensor([1.0, 2.0, 1.0]) / 4, torch.tensor([-1.0, 0.0, 1.0])
    kernel = torch.stack([torch.outer(smooth, slope), torch.outer(slope, smooth)])[:, None]
    padded = F.pad(luminance(image), (1, 1, 1, 1), mode="replicate")
    gradient = F.conv2d(padded, kernel.to(image))  # (B, 2, H, W)
    return gradient.norm(dim=1, keepdim=True) / math.sqrt(2)


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """SSIM of each pair of one-channel images.

    Args:
        first: (B, 1, H, W), values spanning 1.
        second: Of the same shape.

    Returns:
        (B,), the mean over all places where the whole window lies inside; in [-1, 1], 1 for equal images.

    Raises:
        ValueError: The shapes differ, or a side is below 11.

    Source: Wang et al., IEEE TIP 2004, with its constants: an 11x11 Gaussian window of 1.5, K1 = 0.01, K2 = 0.03.
    """
    if first.shape != second.shape:
        raise ValueError(f"Images have shapes {tuple(first.shape)} and {tuple(second.shape)}; they must be equal.")
    if min(first.shape[-2:]) <= 2 * RADIUS:
        raise ValueError(
            f"Images are {first.shape[-1]}x{first.shape[-2]}; SSIM's window is {2 * RADIUS + 1} pixels wide."
        )
    offsets = torch.arange(-RADIUS, RADIUS + 1, dtype=first.dtype, device=first.device)
    row = torch.exp(-offsets.square() / (2 * SIGMA**2))
    window = torch.outer(row, row)[None, None] / row.sum() ** 2
    stacked = torch.cat([first, second, first * first, second * second, first * second])
    mean1, mean2, square1, square2, product = F.conv2d(stacked, window).chunk(5)
    c1, c2 = 0.01**2, 0.03**2
    variances = square1 - mean1**2 + square2 - mean2**2
    numerator = (2 * mean1 * mean2 + c1) * (2 * (product - mean1 * mean2) + c2)
    return (numerator / ((mean1**2 + mean2**2 + c1) * (variances + c2))).mean((1, 2, 3))
