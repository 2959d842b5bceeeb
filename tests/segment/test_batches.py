"""Batches move between devices as a whole, smaller batches within them too."""

import torch

from segment.batches import AdaptationBatch, LabelledBatch


def test_a_batch_moves_as_a_whole():
    moved = LabelledBatch(torch.rand(2, 3, 2, 2), torch.zeros(2, 2, 2)).to("meta")
    assert isinstance(moved, LabelledBatch)
    assert moved.image.device.type == moved.label_map.device.type == "meta" and moved.style is None
    styled = LabelledBatch(torch.rand(1, 3, 2, 2), torch.zeros(1, 2, 2), torch.rand(1, 3, 2, 2), torch.ones(1))
    assert styled.to("meta").style.device.type == styled.to("meta").styled.device.type == "meta"


def test_what_was_filled_up_is_whole_rows_and_columns_of_black_without_a_label():
    """4 x 4 pixels, of which a frame of 3 x 2 lies at the upper left; a black pixel in it, ignored, is shown."""
    image, label_map = torch.zeros(1, 3, 4, 4), torch.full((1, 4, 4), 255)
    image[:, 1, :3, :2] = 0.5
    image[:, :, 0, 0] = 0
    label_map[:, 2, 0], image[:, :, 2, 0] = 7, 0  # black with a label
    shown = torch.zeros(1, 4, 4, dtype=torch.bool)
    shown[:, :3, :2] = True
    assert torch.equal(LabelledBatch(image, label_map).shown(), shown)


def test_batches_within_a_batch_move_along():
    def labelled(images):
        return LabelledBatch(torch.rand(images, 3, 2, 2), torch.zeros(images, 2, 2))

    moved = AdaptationBatch(labelled(2), torch.rand(3, 3, 2, 2), labelled(1)).to("meta")
    assert isinstance(moved, AdaptationBatch) and moved.target.shape == (3, 3, 2, 2)
    parts = (moved.source.image, moved.source.label_map, moved.target, moved.labelled_target.label_map)
    assert [part.device.type for part in parts] == ["meta"] * 4
    assert moved.labelled_target.image.shape == (1, 3, 2, 2) and moved.source.style is None
    assert AdaptationBatch(labelled(2), torch.rand(2, 3, 2, 2)).to("meta").labelled_target is None
