"""Boundary IoU: by hand, and against the definition taken word by word, one class after the other."""

import pytest
import torch
from torch.nn import functional

from segment.classes import IGNORE_INDEX
from segment.metrics.boundaries import (
    CITYSCAPES_RATIO,
    GENERAL_RATIO,
    band_width,
    boundary_counts,
    boundary_iou,
    near_contour,
)

N = IGNORE_INDEX


def test_the_widths_of_the_paper():
    assert band_width((1024, 2048), CITYSCAPES_RATIO) == 11
    assert band_width((1024, 2048), GENERAL_RATIO) == 46
    assert band_width((4, 4), CITYSCAPES_RATIO) == 1


def test_near_the_contour_by_hand():
    label_map = torch.tensor([[0, 0, 0, 0, 0, 0]] * 5, dtype=torch.uint8)
    label_map[:, 5] = 1
    # One pixel in from the rim and from class 1; the column of class 1 lies at the rim altogether.
    inside = [0, N, N, N, 0, 1]
    assert near_contour(label_map, 1).tolist() == [[0] * 5 + [1], inside, inside, inside, [0] * 5 + [1]]


def test_an_ignored_pixel_ends_a_class_and_is_none():
    label_map = torch.zeros(5, 5, dtype=torch.uint8)
    label_map[2, 2] = IGNORE_INDEX
    assert (near_contour(label_map, 1) == 0).sum() == 24


def test_counts_and_score_by_hand():
    """A square of 5x5 in a map of 7x7, predicted one column too far to the right; at width 1 its rim has 16 pixels.

    The rims share the top and bottom rows in 4 columns each. Columns at the left and right sides do not meet.
    """
    label_map, prediction = torch.zeros(2, 7, 7, dtype=torch.uint8)
    label_map[1:6, 1:6] = 1
    prediction[1:6, 2:7] = 1
    counts = boundary_counts(label_map, prediction, ratio=0.01, num_classes=2)
    assert counts[1].tolist() == [8, 16, 16]
    assert boundary_iou(counts)[1].item() == pytest.approx(8 / 24)


def by_definition(label_map, prediction, width, classes):
    """Masks, eroded `width` times by 3x3 pixels, outside of the image being no part of them."""
    rows = []
    for index in range(classes):
        bands = []
        for values in (label_map, prediction.where(label_map != IGNORE_INDEX, IGNORE_INDEX)):
            mask = inner = (values == index).float()[None, None]
            for _ in range(width):
                inner = -functional.max_pool2d(functional.pad(-inner, (1, 1, 1, 1), value=0.0), 3, stride=1)
            bands.append((mask - inner).bool())
        rows.append([int((bands[0] & bands[1]).sum()), int(bands[0].sum()), int(bands[1].sum())])
    return rows


@pytest.mark.parametrize("ratio", [0.005, 0.02, 0.08])
def test_equals_the_definition(ratio):
    generator = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 5, (2, 6, 8), generator=generator)
    label_map, prediction = blocks.repeat_interleave(12, 1).repeat_interleave(15, 2).byte()
    noise = torch.rand(label_map.shape, generator=generator) < 0.01
    prediction = torch.where(noise, label_map, prediction)
    label_map[label_map == 4] = IGNORE_INDEX
    width = band_width(label_map.shape, ratio)
    expected = by_definition(label_map.long(), prediction.long(), width, 4)
    assert boundary_counts(label_map, prediction, ratio, 4).tolist() == expected


def test_an_absent_class_has_no_score():
    counts = boundary_counts(torch.zeros(4, 4, dtype=torch.uint8), torch.zeros(4, 4, dtype=torch.uint8), num_classes=2)
    assert boundary_iou(counts).tolist() == pytest.approx([1, float("nan")], nan_ok=True)
