"""Sensor noise: its variance, by hand and measured."""

import math

import pytest
import torch

from segment.appearance.sensor import SHOT_RANGE, sensor_noise, shot_and_read


def test_one_deviation_worked_out_by_hand():
    # Variance 0.01 * 0.5 + 0.0004 = 0.0054.
    noisy = sensor_noise(torch.tensor([0.5]), torch.tensor([1.0]), shot=0.01, read=0.0004)
    assert noisy.item() == pytest.approx(0.5 + math.sqrt(0.0054))


def test_there_is_more_noise_where_there_is_more_light():
    torch.manual_seed(0)
    image = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 3, 100, 100)
    noisy = sensor_noise(image, torch.randn_like(image), shot=0.002, read=0.0001)
    variance = (noisy - image).square().mean((1, 2, 3))
    torch.testing.assert_close(variance, torch.tensor([0.0005, 0.0017]), rtol=0.05, atol=0)


def test_the_result_stays_in_range():
    noisy = sensor_noise(torch.rand(3, 8, 8), 50 * torch.randn(3, 8, 8), 0.01, 0.001)
    assert noisy.min() >= 0 and noisy.max() <= 1


def test_both_variances_rise_with_the_exposure_that_lacked():
    settings = [shot_and_read(position, 0.0) for position in (0.0, 0.5, 1.0)]
    assert [shot for shot, _ in settings] == pytest.approx([SHOT_RANGE[0], math.sqrt(math.prod(SHOT_RANGE)), 0.012])
    reads = [read for _, read in settings]
    assert reads == sorted(reads) and reads[-1] == pytest.approx(math.exp(2.18 * math.log(0.012) + 1.2))
