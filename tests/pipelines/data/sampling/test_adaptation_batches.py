"""Batches of a method that adapts: as many target frames as labelled ones, whose labels nobody asks for."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.data.sampling.adaptation_batches import AdaptationBatches, PseudoLabelledBatches
from pipelines.data.sampling.batches import FramePool
from pipelines.data.sampling.labelled_batches import LabelledBatches
from segment.batches import AdaptationBatch
from tests.pipelines.data.sampling.painted import PLAIN, RICH, Painted, greys, labelled


class Sealed(Painted):
    """Frames of the target: their label maps must stay shut."""

    def read_label_map(self, index):
        raise AssertionError("a label of the target was read")


def batches(seed=3, target=None, augmentation=PLAIN, labelled_target=None):
    pool = FramePool([target or Sealed(4, first=200)], 32)
    return AdaptationBatches(labelled(seed, augmentation=augmentation), pool, augmentation, labelled_target)


def test_a_batch_has_both_parts():
    batch = batches()(0)
    assert isinstance(batch, AdaptationBatch) and batch.labelled_target is None
    assert batch.source.image.shape == batch.target.shape == (3, 3, 16, 24) and batch.target.dtype == torch.float32
    assert all(grey >= 200 for grey in greys(batch.target)) and all(grey < 200 for grey in greys(batch.source.image))


def test_the_target_is_drawn_evenly():
    """300 draws of 4 frames: a standard deviation of 0.025, so 0.08 is more than three of them."""
    make = batches()
    drawn = [grey for step in range(100) for grey in greys(make(step).target)]
    assert [drawn.count(200 + i) / 300 for i in range(4)] == pytest.approx([0.25] * 4, abs=0.08)


def test_a_batch_is_a_function_of_seed_and_step():
    one, same, other = batches(3, augmentation=RICH), batches(3, augmentation=RICH), batches(4, augmentation=RICH)
    one(0)
    assert torch.equal(one(5).target, same(5).target)
    assert not torch.equal(one(5).target, one(6).target) and not torch.equal(one(5).target, other(5).target)


def test_no_target_frame_is_filled_up():
    """Nothing would say which pixels are none of its own; a labelled frame's are ignored."""
    small = replace(PLAIN, scale=(0.3, 0.5))
    batch = batches(augmentation=small)(0)
    assert (batch.target >= 200 / 255).all()
    assert (batch.source.label_map == 255).any()


def test_the_labelled_part_is_that_of_the_source_alone():
    assert torch.equal(batches()(7).source.label_map, labelled(3, augmentation=PLAIN)(7).label_map)
    assert np.array_equal(batches().class_shares(19), labelled(3).class_shares(19))


def test_processes_share_the_slots_of_a_batch():
    whole = batches()(2).target
    parts = []
    for rank in range(3):
        part = batches()
        source = part.source
        part.source = LabelledBatches(
            source.pools, source.mixture, replace(source.draws, share=range(rank, rank + 1)), source.augmentation
        )
        parts.append(part(2).target)
    assert torch.equal(torch.cat(parts), whole)


def test_a_semi_supervised_method_sees_its_few_labelled_frames():
    few = labelled(9, augmentation=PLAIN)
    batch = batches(labelled_target=few)(4)
    assert torch.equal(batch.labelled_target.image, few(4).image)
    assert torch.equal(batch.labelled_target.label_map, few(4).label_map)


def test_pseudo_labels_come_with_their_own_frames_and_the_classes_with_the_sources():
    given = labelled(9, augmentation=PLAIN)
    batch = PseudoLabelledBatches(labelled(3, augmentation=PLAIN), given)(4)
    assert torch.equal(batch.target, given(4).image) and torch.equal(batch.pseudo_label, given(4).label_map)
    assert torch.equal(batch.source.image, labelled(3, augmentation=PLAIN)(4).image)
    source, target = labelled(3, {"source": 1.0}), labelled(9, {"translated": 1.0})
    # Frames 0 to 5 of the source are all of one class each; the translated ones hold 0 to 4 alone.
    assert PseudoLabelledBatches(source, target).class_shares(7) == pytest.approx([1 / 6] * 6 + [0])
