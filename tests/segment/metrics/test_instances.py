"""Instance-weighted IoU, by hand; parity with the official evaluator is shown on files, in tests/pipelines."""

import math

import pytest
import torch

from segment.metrics.instances import MEAN_PIXELS, instance_counts, instance_iou, instance_iou_of_categories
from segment.metrics.regions import confusion_matrix

ROAD, PERSON, CAR, BUS, VOID = 0, 11, 13, 15, 255

# Two cars of 4 and 2 pixels, a road pixel with none. Of the large car 3 are found, of the small one 1 is a bus, 1 void.
LABELS = torch.tensor([[CAR] * 4 + [CAR] * 2 + [ROAD]])
INSTANCES = torch.tensor([[13000] * 4 + [13007] * 2 + [-1]])
PREDICTION = torch.tensor([[CAR, CAR, CAR, ROAD, BUS, VOID, CAR]])


def test_counts_by_hand():
    assert instance_counts(INSTANCES, PREDICTION).tolist() == [[CAR, 4, 3, 3], [CAR, 2, 0, 1]]
    assert instance_counts(INSTANCES.int(), PREDICTION.byte()).tolist() == [[CAR, 4, 3, 3], [CAR, 2, 0, 1]]


def test_scores_by_hand():
    """A car of n pixels weighs m / n per pixel. Hits 3 m / 4 of 2 m, and one false alarm: the road pixel.

    As vehicles 3 m / 4 + m / 2 are hits, and the false alarm is the same one.
    """
    mean = MEAN_PIXELS[CAR]
    confusion, instances = confusion_matrix(LABELS, PREDICTION), instance_counts(INSTANCES, PREDICTION)
    scores = instance_iou(confusion, instances)
    assert scores[CAR].item() == pytest.approx(0.75 * mean / (2 * mean + 1), rel=1e-12)
    assert scores[BUS].item() == 0  # predicted once, on a car
    assert scores[ROAD].isnan() and scores[PERSON].isnan()
    categories = instance_iou_of_categories(confusion, instances)
    assert categories["vehicle"] == pytest.approx(1.25 * mean / (2 * mean + 1), rel=1e-12)
    assert math.isnan(categories["human"]) and set(categories) == {"human", "vehicle"}


def test_more_instances_than_a_byte_can_number():
    instances = torch.arange(600).repeat_interleave(2)[None] + 11000
    prediction = torch.full_like(instances, PERSON)
    prediction[0, -1] = CAR
    counts = instance_counts(instances, prediction)
    assert counts.shape == (600, 4)
    assert (counts[:-1] == torch.tensor([PERSON, 2, 2, 2])).all() and counts[-1].tolist() == [PERSON, 2, 1, 1]


def test_a_frame_without_instances():
    assert instance_counts(torch.full((2, 2), -1), torch.zeros(2, 2)).shape == (0, 4)
    assert instance_counts(torch.full((2, 2), 5), torch.zeros(2, 2)).shape == (0, 4)  # of a class that has none
