"""The looks of one image lent to another, as augmentation: what is shown stays, colours or coarse light change.

Three ways without training, cheap enough for every batch: the statistics of colours (Reinhard et al. 2001), their whole
histograms, and the amplitudes of low frequencies (FDA, Yang and Soatto 2020). A network that learns from synthetic
frames in the light of real ones meets less that is new to it.
"""

import torch
from torch import Tensor

from segment.appearance.lab import lab_to_rgb, rgb_to_lab


def transfer_colour(image: Tensor, style: Tensor, counted: Tensor | None = None) -> Tensor:
    """Give each image the mean and deviation of the style's L*, a* and b*.

    Args:
        image: (B, 3, H, W) in [0, 1].
        style: (B, 3, h, w) in [0, 1].
        counted: bool (B, H, W), the pixels whose statistics are taken, such as all but a black margin, and that
            change; None: all.

    Returns:
        As `image`, clipped to [0, 1].

    Source: Reinhard et al., Color Transfer between Images, IEEE CG&A 2001, sec. "Statistics and color correction".
        Differs: CIE L*a*b* for their l-alpha-beta.
    """
    counted = _all_of(image) if counted is None else counted
    lab, style_lab = rgb_to_lab(image), rgb_to_lab(style)
    mean, deviation = _statistics(lab, counted)
    style_mean, style_deviation = _statistics(style_lab, _all_of(style))
    # An even image has no contrast that could be raised.
    gain = torch.where(deviation > 1e-3, style_deviation / deviation.clamp(min=1e-3), 1.0)
    return lab_to_rgb((lab - mean) * gain + style_mean).where(counted.unsqueeze(1), image)


LEVELS = 256
"""Of a channel, as files have them."""


def transfer_histogram(image: Tensor, style: Tensor, counted: Tensor | None = None) -> Tensor:
    """Give each channel of each image the histogram of the style's; what the style does not show may be tinted.

    Args:
        image: (B, 3, H, W) in [0, 1].
        style: (B, 3, h, w) in [0, 1].
        counted: bool (B, H, W), the pixels that count and change; None: all.

    Returns:
        As `image`: the rank of a value among its channel's becomes the value of that rank in the style's, in between
        by a straight line. Both are seen in 256 levels.

    Source: Gonzalez and Woods, Digital Image Processing, sec. "Histogram matching", as scikit-image has it.
    """
    counted = _all_of(image) if counted is None else counted
    levels = (image * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1).flatten(2)  # (B, 3, H*W)
    style_levels = (style * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1).flatten(2)
    weights = counted.flatten(1)[:, None].expand(levels.shape).to(image.dtype)
    ranks = _cumulative(levels, weights)
    style_ranks = _cumulative(style_levels, torch.ones_like(style_levels, dtype=image.dtype))
    # The first level of the style that reaches a rank, and the one below it that the style has, too.
    upper = torch.searchsorted(style_ranks, ranks).clamp(max=LEVELS - 1)
    steps = torch.arange(LEVELS, device=image.device)
    present = style_ranks.diff(dim=2, prepend=torch.zeros_like(style_ranks[..., :1])) > 0
    below = torch.where(present, steps, -1).cummax(dim=2).values.roll(1, dims=2)
    below[..., 0] = -1
    lower = below.gather(2, upper)
    first = lower < 0  # below the style's first level there is nothing to draw a line from
    lower = lower.clamp(min=0)
    low, high = style_ranks.gather(2, lower), style_ranks.gather(2, upper)
    along = ((ranks - low) / (high - low).clamp(min=torch.finfo(ranks.dtype).tiny)).where(~first, 1.0)
    values = (lower + along * (upper - lower)) / (LEVELS - 1)  # (B, 3, 256)
    return values.gather(2, levels).view(image.shape).where(counted.unsqueeze(1), image)


def _cumulative(levels: Tensor, weights: Tensor) -> Tensor:
    """Share of the pixels of each channel, (B, 3, N), at each level or below: (B, 3, 256)."""
    counts = weights.new_zeros(*levels.shape[:2], LEVELS).scatter_add_(2, levels, weights)
    return (counts.double().cumsum(2) / counts.double().sum(2, keepdim=True).clamp(min=1)).to(weights.dtype)


def transfer_amplitude(image: Tensor, style: Tensor, window: float = 0.01, counted: Tensor | None = None) -> Tensor:
    """Give each image the amplitudes of the style's lowest frequencies; the phases, which hold the shapes, stay.

    Args:
        image: (B, 3, H, W) in [0, 1].
        style: (B, 3, H, W) in [0, 1], of the same size.
        window: Half the side of the window of frequencies, as a share of the image's shorter side; beta in the paper,
            which has 0.01, 0.05 and 0.09. At 0 the mean brightness alone is exchanged.
        counted: bool (B, H, W), the pixels that show something; what is outside (a black margin) stays and has no
            share in the amplitudes. None: all.

    Returns:
        As `image`, clipped to [0, 1].

    Source: Yang and Soatto, FDA, CVPR 2020 (arXiv:2004.05498), eq. 3.
    """
    if image.shape != style.shape:
        raise ValueError(f"Image is {tuple(image.shape)}, style {tuple(style.shape)}; bring both to one size.")
    counted = _all_of(image) if counted is None else counted
    mean, _ = _statistics(image, counted)
    height, width = image.shape[-2:]
    spectrum = torch.fft.rfft2(image.where(counted.unsqueeze(1), mean))
    reach = int(min(height, width) * window)
    rows = torch.fft.fftfreq(height, 1 / height, device=image.device).abs() <= reach
    columns = torch.fft.rfftfreq(width, 1 / width, device=image.device) <= reach
    low = rows[:, None] & columns  # (H, W // 2 + 1)
    amplitude = torch.where(low, torch.fft.rfft2(style).abs(), spectrum.abs())
    styled = torch.fft.irfft2(torch.polar(amplitude, spectrum.angle()), s=(height, width)).clamp(0, 1)
    return styled.where(counted.unsqueeze(1), image)


def _all_of(image: Tensor) -> Tensor:
    return torch.ones_like(image[:, 0], dtype=torch.bool)


def _statistics(image: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel over the counted pixels, (B, 3, 1, 1) each."""
    weights = counted.unsqueeze(1).to(image.dtype)
    number = weights.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (image * weights).sum((2, 3), keepdim=True) / number
    variance = ((image - mean).square() * weights).sum((2, 3), keepdim=True) / number
    return mean, variance.sqrt()
