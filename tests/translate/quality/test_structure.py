"""Edge retention against scikit-image's SSIM, and what it must and must not notice."""

import math

import numpy as np
import pytest
import torch

from translate.quality.structure import gradient_magnitude, structural_similarity, structure_score


def street(seed=0, size=(32, 48)):
    """Rectangles on a grey ground."""
    random = np.random.default_rng(seed)
    image = np.full((3, *size), 0.5, np.float32)
    for _ in range(6):
        top, left = random.integers(0, size[0] - 10), random.integers(0, size[1] - 10)
        image[:, top : top + 10, left : left + 10] = random.random((3, 1, 1))
    return torch.from_numpy(image)[None]


def test_a_step_worked_out_by_hand():
    """Black to white across: Sobel over 4 is 1 on both sides of the step, and the longest gradient possible is √2."""
    image = torch.zeros(1, 3, 4, 6)
    image[..., 3:] = 1
    row = gradient_magnitude(image)[0, 0, 1]
    assert row.tolist() == pytest.approx([0, 0, 1 / math.sqrt(2), 1 / math.sqrt(2), 0, 0], abs=1e-6)


def test_scikit_image_agrees():
    metrics = pytest.importorskip("skimage.metrics")
    random = np.random.default_rng(0)
    first, second = random.random((2, 24, 31))
    theirs = metrics.structural_similarity(
        first, second, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    ours = structural_similarity(*(torch.from_numpy(image)[None, None] for image in (first, second)))
    assert float(ours) == pytest.approx(theirs, abs=1e-6)


def test_unchanged_inverted_and_recoloured_edges_are_kept():
    image = street()
    assert float(structure_score(image, image)) == pytest.approx(1)
    assert float(structure_score(image, 1 - image)) == pytest.approx(1, abs=1e-5)
    assert float(structure_score(image, (image + 0.1) * 0.9)) > 0.97


def test_moved_edges_are_not():
    image = street()
    moved = float(structure_score(image, image.roll(3, dims=3)))
    assert float(structure_score(image, street(1))) < moved < 0.8


def test_one_score_for_each_image():
    both = torch.cat([street(), street(1)])
    scores = structure_score(both, torch.cat([street(), street()]))
    assert scores.shape == (2,) and scores[0] > 0.999 and scores[1] < 0.7


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="must be equal"):
        structure_score(street(), street(size=(32, 40)))
    with pytest.raises(ValueError, match="Images are 48x10; SSIM's window is 11 pixels wide"):
        structure_score(street(size=(32, 48))[..., :10, :], street()[..., :10, :])
