"""What the log tells of pseudo-labels."""

import torch

from segment.pseudo_labels import log_of_pseudo_labels, seen_in_target


def test_the_log_tells_the_mean_weight_and_the_shares_of_the_classes():
    found = log_of_pseudo_labels(torch.tensor([[[0, 0, 0, 2]]]), torch.tensor([[[1.0, 0.0, 0.5, 0.5]]]), 3)
    assert {name: value.item() for name, value in found.items()} == {
        "pseudo_weight": 0.5,
        "pseudo_share/0": 0.75,
        "pseudo_share/1": 0.0,
        "pseudo_share/2": 0.25,
    }


def test_the_log_tells_the_shares_of_the_classes_in_target_frames():
    logits = torch.tensor([[[[3.0, 3.0]], [[2.0, 5.0]]], [[[1.0, 0.0]], [[0.0, 1.0]]]])  # 0, 1 and 0, 1
    assert {name: value.item() for name, value in seen_in_target(logits).items()} == {
        "target_share/0": 0.5,
        "target_share/1": 0.5,
    }
