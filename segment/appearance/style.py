"""The looks of one image lent to another, as augmentation: what is shown stays, colours or coarse light change.

Two ways without training, cheap enough for every batch: the statistics of colours (Reinhard et al. 2001) and the
amplitudes of low frequencies (FDA, Yang and Soatto 2020). A network that learns from synthetic frames in the light of
real ones meets less that is new to it.
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
