"""The distance to ImageNet's features: where it counts, how long it is, and what it pulls."""

import pytest
import torch

from segment.adaptation.feature_distance import THINGS, feature_distance, locations_of_things
from segment.classes import CLASS_NAMES

CAR, ROAD, BUS = 13, 0, 15


def test_a_place_counts_where_one_thing_covers_enough_of_it():
    """Four features over 2x2 pixels each: all car; 3 of 4 car; 2 car and 2 bus; all road."""
    label_map = torch.tensor(
        [[[CAR, CAR, CAR, 255], [CAR, CAR, CAR, CAR], [CAR, BUS, ROAD, ROAD], [CAR, BUS, ROAD, ROAD]]]
    )
    assert locations_of_things(label_map, (2, 2), 0.75).tolist() == [[[True, True], [False, False]]]
    assert locations_of_things(label_map, (2, 2), 0.8).tolist() == [[[True, False], [False, False]]]


def test_things_are_those_of_the_authors_code():
    assert [CLASS_NAMES[thing] for thing in THINGS] == [
        "traffic light", "traffic sign", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
    ]  # fmt: skip


def test_a_share_of_nothing_still_needs_a_thing():
    assert not locations_of_things(torch.full((1, 4, 4), ROAD), (2, 2), 0.0).any()


def test_the_distance_by_hand():
    """Places differ by (3, 4) and (0, 0): lengths 5 and 0. Both count: 2.5; the first alone: 5."""
    features = torch.tensor([[[[4.0, 2.0]], [[6.0, 1.0]]]])
    imagenet = torch.tensor([[[[1.0, 2.0]], [[2.0, 1.0]]]])
    assert feature_distance(features, imagenet, torch.tensor([[[True, True]]])).item() == 2.5
    assert feature_distance(features, imagenet, torch.tensor([[[True, False]]])).item() == 5.0


def test_features_are_pulled_towards_imagenets():
    features = torch.tensor([[[[3.0, 7.0]], [[4.0, 7.0]]]], requires_grad=True)
    feature_distance(features, torch.zeros(1, 2, 1, 2), torch.tensor([[[True, False]]])).backward()
    torch.testing.assert_close(features.grad[0, :, 0], torch.tensor([[0.6, 0.0], [0.8, 0.0]]))


def test_no_place_is_zero_with_zero_gradients():
    features = torch.ones(1, 2, 1, 2, requires_grad=True)
    loss = feature_distance(features, torch.zeros(1, 2, 1, 2), torch.zeros(1, 1, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and features.grad.abs().max() == 0


@pytest.mark.parametrize("size", [(3, 5), (1, 1)])
def test_any_size_of_features(size):
    assert locations_of_things(torch.full((2, 16, 24), CAR), size, 0.75).shape == (2, *size)
