"""L*a*b* against scikit-image and against colours that everybody knows."""

import numpy as np
import pytest
import torch

from segment.appearance.lab import rgb_to_lab
from translate.quality.colour import colour_difference, lab_statistics, pooled_statistics


def test_white_black_and_red():
    colours = torch.tensor([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]).T[None, :, :, None]
    lab = rgb_to_lab(colours)[0, :, :, 0].T
    assert lab[0].tolist() == pytest.approx([100, 0, 0], abs=0.02)
    assert lab[1].tolist() == pytest.approx([0, 0, 0], abs=0.02)
    assert lab[2].tolist() == pytest.approx([53.24, 80.09, 67.20], abs=0.05)


def test_scikit_image_agrees():
    color = pytest.importorskip("skimage.color")
    image = np.random.default_rng(0).random((9, 7, 3))
    ours = rgb_to_lab(torch.from_numpy(image).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - color.rgb2lab(image)).max() < 0.01


def test_statistics_of_a_set_are_those_of_all_its_pixels():
    images = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    mean, deviation = pooled_statistics(*lab_statistics(images))
    pixels = rgb_to_lab(images).transpose(0, 1).flatten(1)
    assert torch.allclose(mean, pixels.mean(1), atol=1e-4)
    assert torch.allclose(deviation, pixels.std(1, correction=0), atol=1e-4)


def test_colour_difference_is_a_distance():
    assert colour_difference(torch.tensor([50.0, 3, 0]), torch.tensor([50.0, 0, 4])) == pytest.approx(5)
