"""Layouts: channels, borders and regions of a label map small enough to see."""

import pytest
import torch

from translate.layouts import borders, class_indices, instance_means, one_hot, painted, regions

TWO_CARS = torch.tensor([[[0, 0, 0, 0], [0, 1, 1, 0]]])
INSTANCES = torch.tensor([[[0, 0, 0, 0], [0, 7, 9, 0]]])


def test_ignored_pixels_have_the_last_channel():
    indices = class_indices(torch.tensor([[[0, 255, 18]]]), 19, ignore_channel=True)
    assert indices.tolist() == [[[0, 19, 18]]]
    layout = one_hot(indices, 20)
    assert layout.shape == (1, 20, 1, 3) and layout.dtype == torch.float32
    assert layout[0, :, 0, 1].nonzero().tolist() == [[19]] and layout.sum() == 3


@pytest.mark.parametrize(
    ("ids", "ignore", "message"),
    [
        ([0, 19], True, "holds 19; expected ids from 0 to 18, and 255 for ignored pixels"),
        ([0, 255], False, "holds 255; expected ids from 0 to 18\\."),
        ([-1, 40], True, "holds -1, 40"),
        (list(range(19, 40)), True, "19, 20, 21, 22, 23, 24, 25, 26 and more"),
    ],
)
def test_ids_out_of_range_are_named(ids, ignore, message):
    with pytest.raises(ValueError, match=message):
        class_indices(torch.tensor([[ids]]), 19, ignore)


def test_borders_mark_both_sides():
    # One pixel of another thing: itself and its four neighbours, not the diagonal ones.
    things = torch.zeros(1, 4, 4, dtype=torch.int64)
    things[0, 1, 1] = 5
    assert borders(things)[0, 0].tolist() == [[0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


def test_instances_part_what_labels_do_not():
    assert borders(TWO_CARS)[0, 0].tolist() == [[0, 1, 1, 0], [1, 1, 1, 1]]
    beside = torch.tensor([[[1, 1, 1, 1]]])
    assert borders(beside).sum() == 0
    assert borders(torch.tensor([[[4, 4, 8, 8]]])).flatten().tolist() == [0, 1, 1, 0]


def test_regions_are_numbered_through_the_batch():
    things = regions(torch.cat([TWO_CARS, TWO_CARS]), torch.cat([INSTANCES, INSTANCES]))
    assert things.numbers[0].tolist() == [[0, 0, 0, 0], [0, 1, 2, 0]]
    assert things.numbers[1].tolist() == [[3, 3, 3, 3], [3, 4, 5, 3]]
    assert things.image.tolist() == [0, 0, 0, 1, 1, 1]
    assert things.label.tolist() == [0, 1, 1, 0, 1, 1]
    assert things.instance.tolist() == [0, 7, 9, 0, 7, 9]


def test_without_instances_a_class_is_one_region():
    things = regions(TWO_CARS, None)
    assert things.label.tolist() == [0, 1] and things.numbers.max() == 1


def test_means_by_hand_and_back_to_the_pixels():
    features = torch.tensor([[[[1.0, 3, 5, 9]], [[0.0, 0, 1, 1]]]])
    numbers = torch.tensor([[[0, 0, 1, 1]]])
    means = instance_means(features, numbers)
    assert means.tolist() == [[2, 0], [7, 1]]
    assert painted(means, numbers).tolist() == [[[[2, 2, 7, 7]], [[0, 0, 1, 1]]]]


def test_gradient_is_shared_out_within_a_region():
    features = torch.rand(1, 1, 1, 4, requires_grad=True)
    instance_means(features, torch.tensor([[[0, 0, 0, 1]]])).sum().backward()
    torch.testing.assert_close(features.grad.flatten(), torch.tensor([1 / 3, 1 / 3, 1 / 3, 1]))
