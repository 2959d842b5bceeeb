"""What the log tells of pseudo-labels."""

import torch

from segment.adaptation.pseudo_labels import (
    assigned_labels,
    class_sums,
    class_thresholds,
    denoised,
    log_of_pseudo_labels,
    seen_in_target,
)
from segment.classes import IGNORE_INDEX


def test_the_log_tells_the_mean_weight_and_the_shares_of_the_classes():
    found = log_of_pseudo_labels(torch.tensor([[[0, 0, 0, 2]]]), torch.tensor([[[1.0, 0.0, 0.5, 0.5]]]), 3)
    assert {name: value.item() for name, value in found.items()} == {
        "pseudo_weight": 0.5,
        "pseudo_share/0": 0.75,
        "pseudo_share/1": 0.0,
        "pseudo_share/2": 0.25,
    }


def test_where_no_pixel_has_a_pseudo_label_no_class_has_a_share():
    found = log_of_pseudo_labels(torch.full((1, 1, 4), IGNORE_INDEX), torch.zeros(1, 1, 4), 2)
    assert [value.item() for value in found.values()] == [0, 0, 0]


def test_the_log_tells_the_shares_of_the_classes_in_target_frames():
    logits = torch.tensor([[[[3.0, 3.0]], [[2.0, 5.0]]], [[[1.0, 0.0]], [[0.0, 1.0]]]])  # 0, 1 and 0, 1
    assert {name: value.item() for name, value in seen_in_target(logits).items()} == {
        "target_share/0": 0.5,
        "target_share/1": 0.5,
    }


def counts_of(*classes):
    """int64 (K, 256) of {confidence: pixels} for each class."""
    counts = torch.zeros(len(classes), 256, dtype=torch.int64)
    for k, pixels in enumerate(classes):
        for confidence, number in pixels.items():
            counts[k, confidence] = number
    return counts


def test_thresholds_keep_the_share_of_each_class_by_itself():
    """The surest five of class 0's ten pixels are at 200; the surest two of class 1's four at 90 and above."""
    counts = counts_of({200: 5, 100: 5}, {100: 1, 90: 1, 80: 2})
    assert class_thresholds(counts, 0.5, 1.0).tolist() == [200, 90]
    assert class_thresholds(counts, 0.6, 1.0).tolist() == [100, 80]
    assert class_thresholds(counts, 1.0, 1.0).tolist() == [100, 80]


def test_who_is_sure_enough_counts_whatever_the_share():
    """0.4 of 255 is 102: a threshold of 200 comes down to it, one of 90 stays."""
    counts = counts_of({200: 5, 150: 5}, {90: 1})
    assert class_thresholds(counts, 0.1, 0.4).tolist() == [102, 90]


def test_a_class_that_was_never_seen_has_a_threshold_that_nothing_reaches():
    assert class_thresholds(counts_of({}, {10: 1}), 0.5, 0.9).tolist() == [256, 10]


def test_a_pixel_goes_to_the_class_that_is_most_times_above_its_threshold():
    """Thresholds 200, 50 and 256, which none reaches. Of classes 0 and 1 the four pixels have, in times:

    150/200 and 100/50 = 2: class 1, though 0 is likelier; 220/200 = 1.1 and 30/50: class 0; 190/200 and 40/50: none;
    200/200 = 1 and 50/50 = 1: level, so the likelier. Class 2 is likeliest once, at 240/256: class 1 has it, 60/50.
    """
    thresholds = torch.tensor([200, 50, 256])
    candidates = torch.tensor([[[0, 0, 0, 0, 2]], [[1, 1, 1, 1, 1]]])  # (2, 1, 5)
    confidences = torch.tensor([[[150, 220, 190, 200, 240]], [[100, 30, 40, 50, 60]]])
    assert assigned_labels(candidates, confidences, thresholds).tolist() == [[1, 0, 255, 0, 1]]
    assert assigned_labels(candidates[:1], confidences[:1], thresholds).tolist() == [[255, 0, 255, 0, 255]]


def test_a_threshold_of_nothing_is_reached_by_all():
    assert assigned_labels(torch.tensor([[[1]]]), torch.tensor([[[3]]]), torch.tensor([9, 0])).tolist() == [[1]]


def test_sums_of_features_by_class():
    features = torch.tensor([[[[1.0, 2.0, 5.0]], [[0.0, 2.0, 1.0]]]])  # (1, 2, 1, 3)
    sums = class_sums(features, torch.tensor([[[1, 1, 0]]]), 3)
    assert sums.tolist() == [[5.0, 1.0, 1.0], [3.0, 2.0, 2.0], [0.0, 0.0, 0.0]]


def test_denoising_by_hand():
    """Prototypes at 0 and 4; a feature at 1 is 1 and 3 away: softmax(-1/2, -3/2) = (0.7311, 0.2689).

    Times (0.36, 0.54): 0.2632 and 0.1452, that is 0.6444 of the first, which turns from the less into the more likely.
    The third class has no prototype, and so no probability.
    """
    sums = torch.tensor([[0.0, 2.0], [12.0, 3.0], [0.0, 0.0]])
    probabilities = torch.tensor([0.36, 0.54, 0.1]).view(1, 3, 1, 1)
    found = denoised(probabilities, torch.ones(1, 1, 1, 1), sums, 2.0)
    torch.testing.assert_close(found.flatten(), torch.tensor([0.6444, 0.3556, 0.0]), atol=1e-4, rtol=0)


def test_denoising_takes_features_of_any_size_and_stays_a_distribution():
    torch.manual_seed(0)
    probabilities = torch.rand(2, 3, 8, 12).softmax(1)
    sums = class_sums(torch.rand(2, 5, 4, 6), torch.randint(0, 3, (2, 4, 6)), 3)
    found = denoised(probabilities, torch.rand(2, 5, 4, 6), sums, 1.0)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 8, 12))
