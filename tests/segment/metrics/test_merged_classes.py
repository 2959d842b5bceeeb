"""Classes that count as one: by hand on a few pixels, and counts against label maps."""

import math

import pytest
import torch

from segment.classes import IGNORE_INDEX
from segment.metrics.merged_classes import (
    merge_classes,
    merge_labels,
    merge_log_probabilities,
)
from segment.metrics.regions import confusion_matrix, iou_per_class

N = IGNORE_INDEX


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_label_maps_by_hand(dtype):
    label_map = torch.tensor([[0, 6, 7], [N, 18, 12]], dtype=dtype)
    merged = merge_labels(label_map, [(6, 7), (12, 18)])
    assert merged.tolist() == [[0, 6, 6], [N, 12, 12]] and merged.dtype == dtype
    assert merge_labels(label_map, []) is label_map


def test_probabilities_of_a_group_add_up():
    merged = merge_log_probabilities(torch.tensor([[0.3, 0.4, 0.3], [0.5, 0.1, 0.4]]).log(), [(2, 0)])
    expected = torch.tensor([[0.6, 0.4, 0.0], [0.9, 0.1, 0.0]])
    assert torch.allclose(merged.exp(), expected) and merged[0, 2] == -math.inf


def test_counts_by_hand():
    # Truth 0 1 1 2, prediction 1 1 2 0. With 0 and 1 as one: two hits, one predicted as 2, and 2 missed.
    confusion = confusion_matrix(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 1, 2, 0]), num_classes=3)
    merged = merge_classes(confusion, [(0, 1)])
    assert merged.tolist() == [[2, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    # Merged class: 2 hits, 1 miss, 1 false alarm.
    assert iou_per_class(merged).tolist() == pytest.approx([2 / 4, math.nan, 0], nan_ok=True)


def test_counts_of_merged_label_maps_are_merged_counts():
    generator = torch.Generator().manual_seed(0)
    label_map, prediction = torch.randint(0, 20, (2, 500), generator=generator)
    label_map[label_map == 19] = N
    groups = [{6, 7}, {12, 18}]
    expected = confusion_matrix(merge_labels(label_map, groups), merge_labels(prediction, groups))
    assert torch.equal(merge_classes(confusion_matrix(label_map, prediction), groups), expected)


@pytest.mark.parametrize("groups", [[(0, 1), (1, 2)], [(0, 1, 0)]])
def test_overlapping_groups_are_refused(groups):
    with pytest.raises(ValueError, match="A class is in two groups or twice in one"):
        merge_classes(torch.zeros(3, 4, dtype=torch.int64), groups)
    with pytest.raises(ValueError, match="A class is in two groups or twice in one"):
        merge_labels(torch.zeros(2, 2, dtype=torch.uint8), groups)
