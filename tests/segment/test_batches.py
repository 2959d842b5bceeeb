"""Batches move between devices as a whole, smaller batches within them too."""

import torch

from segment.batches import AdaptationBatch, LabelledBatch


def test_a_batch_moves_as_a_whole():
    moved = LabelledBatch(torch.rand(2, 3, 2, 2), torch.zeros(2, 2, 2)).to("meta")
    assert isinstance(moved, LabelledBatch)
    assert moved.image.device.type == moved.label_map.device.type == "meta" and moved.style is None
    styled = LabelledBatch(torch.rand(1, 3, 2, 2), torch.zeros(1, 2, 2), torch.rand(1, 3, 2, 2), torch.ones(1))
    assert styled.to("meta").style.device.type == styled.to("meta").styled.device.type == "meta"


def test_batches_within_a_batch_move_along():
    def labelled(images):
        return LabelledBatch(torch.rand(images, 3, 2, 2), torch.zeros(images, 2, 2))

    moved = AdaptationBatch(labelled(2), torch.rand(3, 3, 2, 2), labelled(1)).to("meta")
    assert isinstance(moved, AdaptationBatch) and moved.target.shape == (3, 3, 2, 2)
    parts = (moved.source.image, moved.source.label_map, moved.target, moved.labelled_target.label_map)
    assert [part.device.type for part in parts] == ["meta"] * 4
    assert moved.labelled_target.image.shape == (1, 3, 2, 2) and moved.source.style is None
    assert AdaptationBatch(labelled(2), torch.rand(2, 3, 2, 2)).to("meta").labelled_target is None
