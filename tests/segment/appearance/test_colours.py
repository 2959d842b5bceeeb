"""Painted label maps."""

import torch

from segment.appearance.colours import paint_classes


def test_road_is_purple_and_ignored_is_black():
    picture = paint_classes(torch.tensor([[[0, 255]]]))
    assert picture.shape == (1, 3, 1, 2)
    assert torch.equal((picture * 255).round().int(), torch.tensor([[[[128, 0]], [[64, 0]], [[128, 0]]]]).int())


def test_bytes_and_ids_that_are_no_class_are_painted_too():
    picture = paint_classes(torch.full((2, 4, 3), 19, dtype=torch.uint8))
    assert picture.shape == (2, 3, 4, 3)
    assert picture.max() == 0
