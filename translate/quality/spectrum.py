"""The radial power spectrum: how much fine structure images have, wherever it points.

Generators betray themselves here: too little power at high frequencies is blur, peaks are checkerboards.
After Durall et al., CVPR 2020 (arXiv:2003.01826).
"""

import torch
from torch import Tensor

BINS = 32
"""Bands of equal width from 0 to 0.5 cycles per pixel."""


def radial_log_power(image: Tensor, bins: int = BINS) -> Tensor:
    """Mean power of the luma in bands of frequency, in decibels.

    Args:
        image: (B, 3, H, W) in [0, 1]; a Hann window keeps the borders from counting as edges.
        bins: Number of bands; sides should be at least twice that, or some bands are empty.

    Returns:
        (B, bins), 10·log10 of the mean power; bands are in cycles per pixel, so images of different shapes compare.
        NaN for a band without any frequency.
    """
    luma = luminance(image)[:, 0]
    height, width = luma.shape[-2:]
    window = torch.outer(*(torch.hann_window(side, periodic=False, device=luma.device) for side in (height, width)))
    power = torch.fft.fft2((luma - luma.mean((1, 2), keepdim=True)) * window).abs().square() / window.square().sum()
    down, across = (torch.fft.fftfreq(side, device=luma.device) for side in (height, width))
    radius = torch.hypot(down[:, None], across[None, :])
    band = (radius * 2 * bins).long().flatten()  # corners lie beyond 0.5 and are left out
    inside = band < bins
    counted = torch.bincount(band[inside], minlength=bins).to(power.dtype)
    sums = power.new_zeros(len(power), bins).index_add_(1, band[inside], power.flatten(1)[:, inside])
    return 10 * torch.log10(sums / counted + 1e-12)


def log_power_difference(first: Tensor, second: Tensor) -> tuple[float, float]:
    """How the mean spectra of two sets differ.

    Args:
        first: (N, bins) decibels.
        second: (M, bins) decibels.

    Returns:
        Mean absolute difference over all bands, and the mean signed one (first minus second) over the upper half of
        them: below zero the first set is blurred beside the second, above it is noisier.
    """
    difference = first.mean(0) - second.mean(0)
    upper = difference[len(difference) // 2 :]
    return float(difference.abs().nanmean()), float(upper.nanmean())


def luminance(image: Tensor) -> Tensor:
    """Luma of RGB in [0, 1] by the weights of ITU-R BT.601: (B, 3, H, W) to (B, 1, H, W)."""
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=image.dtype, device=image.device)
    return (image * weights[:, None, None]).sum(1, keepdim=True)
