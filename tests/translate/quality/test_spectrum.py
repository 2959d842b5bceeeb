"""The radial power spectrum."""

import math

import pytest
import torch
from torch.nn import functional as F

from translate.quality.spectrum import log_power_difference, luminance, radial_log_power


def waves(frequency, size=64, amplitude=0.25):
    """Grey waves across the image."""
    columns = torch.arange(size)
    row = 0.5 + amplitude * torch.cos(2 * math.pi * frequency * columns)
    return row.expand(1, 3, size, size)


@pytest.mark.parametrize(("frequency", "band"), [(0.1, 3), (0.25, 8), (0.39, 12)])
def test_a_wave_is_in_its_band(frequency, band):
    """16 bands of 1/32 cycles per pixel: 0.1 · 32 = 3.2, 0.25 · 32 = 8, 0.39 · 32 = 12.5."""
    power = radial_log_power(waves(frequency), bins=16)[0]
    assert abs(int(power.argmax()) - band) <= (1 if frequency == 0.25 else 0)


def test_half_the_amplitude_is_six_decibels_less():
    power, half = radial_log_power(waves(0.2), 16), radial_log_power(waves(0.2, amplitude=0.125), 16)
    assert float((power - half)[0, 6]) == pytest.approx(20 * math.log10(2), abs=0.01)


def test_blur_shows_as_missing_high_frequencies():
    noise = torch.rand(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    blurred = F.avg_pool2d(noise, 3, stride=1, padding=1)
    distance, upper = log_power_difference(radial_log_power(blurred), radial_log_power(noise))
    assert distance > 3 and upper < -6
    assert log_power_difference(radial_log_power(noise), radial_log_power(noise)) == (0, 0)


def test_luma_of_primaries():
    assert luminance(torch.eye(3)[:, :, None, None]).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
