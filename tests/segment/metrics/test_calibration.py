"""Calibration: two pixels by hand, then against torchmetrics."""

import math

import pytest
import torch

from segment.classes import IGNORE_INDEX
from segment.metrics.calibration import BINS, reliability


def logits_of(*probabilities):
    """(1, K, 1, N) of N pixels."""
    return torch.tensor(probabilities).log().T[None, :, None]


def test_three_pixels_by_hand():
    """Sure of class 0 by 0.8 and right; of class 1 by 0.6 and wrong; the third is ignored.

    Off by 0.2 and by 0.6, mean 0.4. Log-likelihoods of the truth 0.8 and 0.4; squared distances 0.2^2 + 0.2^2 and
    0.6^2 + 0.6^2.
    """
    found = reliability(logits_of([0.8, 0.2], [0.4, 0.6], [0.5, 0.5]), torch.tensor([[[0, 0, IGNORE_INDEX]]]))
    assert found.pixels.sum() == 2 and found.right.sum() == 1
    assert found.pixels[int(0.8 * BINS - 1e-9)] == found.pixels[int(0.6 * BINS - 1e-6)] == 1
    assert found.calibration_error() == pytest.approx(0.4)
    assert found.mean_negative_log_likelihood() == pytest.approx(-(math.log(0.8) + math.log(0.4)) / 2)
    assert found.brier_score() == pytest.approx((0.08 + 0.72) / 2)


def test_pixels_of_one_bin_are_averaged_before_they_are_compared():
    """Ten pixels sure by 0.7, seven of them right: calibrated, though each for itself is off."""
    label_map = torch.tensor([[[0] * 7 + [1] * 3]])
    assert reliability(logits_of(*[[0.7, 0.3]] * 10), label_map).calibration_error() == pytest.approx(0, abs=1e-6)


def test_images_add_up():
    torch.manual_seed(0)
    logits, label_map = torch.randn(2, 4, 6, 7), torch.randint(0, 4, (2, 6, 7))
    whole = reliability(logits, label_map)
    parts = reliability(logits[:1], label_map[:1]) + reliability(logits[1:], label_map[1:])
    assert torch.equal(whole.pixels, parts.pixels) and torch.equal(whole.right, parts.right)
    assert whole.calibration_error() == pytest.approx(parts.calibration_error())
    assert whole.brier_score() == pytest.approx(parts.brier_score())
    assert whole.mean_negative_log_likelihood() == pytest.approx(parts.mean_negative_log_likelihood())


def test_classes_that_the_labels_cannot_tell_apart_share_their_probability():
    """0.3 + 0.3 for the group is more than 0.4 for the rest, so it is the answer, and right."""
    found = reliability(logits_of([0.3, 0.4, 0.3]), torch.tensor([[[2]]]), groups=[[0, 2]])
    assert found.right.sum() == 1
    assert found.mean_negative_log_likelihood() == pytest.approx(-math.log(0.6))
    assert found.brier_score() == pytest.approx(0.16 + 0.16)


def test_nothing_valid_is_no_score():
    found = reliability(torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), IGNORE_INDEX))
    assert found.pixels.sum() == 0
    assert all(math.isnan(value) for value in (found.calibration_error(), found.brier_score()))


def test_other_sizes_are_refused():
    with pytest.raises(ValueError, match="Upsample the logits"):
        reliability(torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 4))


def test_equals_torchmetrics():
    classification = pytest.importorskip("torchmetrics.classification")
    torch.manual_seed(0)
    logits, label_map = 2 * torch.randn(2, 19, 32, 32), torch.randint(0, 19, (2, 32, 32))
    label_map = torch.where(torch.rand(2, 32, 32) < 0.6, logits.argmax(1), label_map)
    label_map[:, :4] = IGNORE_INDEX
    metric = classification.MulticlassCalibrationError(19, n_bins=BINS, norm="l1", ignore_index=IGNORE_INDEX)
    expected = metric(logits.softmax(1), label_map).item()
    found = reliability(logits, label_map)
    assert found.calibration_error() == pytest.approx(expected, abs=1e-6)
    likelihood = torch.nn.functional.cross_entropy(logits, label_map, ignore_index=IGNORE_INDEX)
    assert found.mean_negative_log_likelihood() == pytest.approx(likelihood.item(), rel=1e-5)
