"""Batches of unpaired frames: rounds of each domain, crops of any frame, and labels that follow their image."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.sampling.batches import Crops, Draws, FramePool
from pipelines.data.sampling.unpaired_batches import UnpairedBatches
from tests.pipelines.data.sampling.painted import CROPS, Painted, greys, unpaired


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_every_frame_comes_once_before_any_comes_again(sources, targets, batch):
    batches = unpaired(batch, seed=1, sources=sources, targets=targets)
    seen = [batches(step) for step in range(12)]
    for domain, count, first in (("source", sources, 0), ("target", targets, 100)):
        order = [grey for one in seen for grey in greys(getattr(one, domain))]
        for start in range(0, len(order) - count + 1, count):
            assert sorted(order[start : start + count]) == [first + i for i in range(count)]


def test_rounds_differ_in_order_and_domains_are_independent():
    batches = unpaired(batch=5, sources=5, targets=5)
    rounds = [(greys(b.source), [grey - 100 for grey in greys(b.target)]) for b in map(batches, range(8))]
    assert len({tuple(source) for source, _ in rounds}) > 4
    assert any(source != target for source, target in rounds)


def test_crops_are_square_floats_of_both_domains():
    batch = unpaired(batch=3)(0)
    assert batch.source.shape == batch.target.shape == (3, 3, 8, 8)
    assert batch.source.dtype == torch.float32 and batch.source.max() <= 1


class Coded(Painted):
    """Every pixel's class tells its place and its frame, and so does its colour: grey = 4 x class."""

    def read_image(self, index):
        return np.repeat(self.label_maps[index][..., None] * np.uint8(4), 3, axis=2)


def coded(first, count=3, size=(16, 24)):
    rows, columns = np.indices(size)
    return Coded(label_maps=[((rows // 4 * 6 + columns // 4 + first + i) % 60).astype(np.uint8) for i in range(count)])


def guided(**settings):
    pools = [FramePool([coded(first)], 32) for first in (0, 10, 20)]
    return UnpairedBatches(pools[0], pools[1], Draws(3, 2), replace(CROPS, **settings), True, labelled_target=pools[2])


def test_labels_follow_the_crop_and_the_flip_of_their_image():
    mirrored = set()
    for step in range(12):
        batch = guided()(step)
        for image, label_map in (
            (batch.source, batch.source_label_map),
            (batch.labelled_target, batch.target_label_map),
        ):
            assert label_map.dtype == torch.int64 and label_map.shape == (2, 8, 8)
            assert torch.equal((image[:, 0] * 255 / 4).round().long(), label_map)
            mirrored |= {bool((row.diff() < 0).any()) for row in label_map[:, 0]}
    assert mirrored == {True, False}


def test_labels_follow_the_scale_of_their_image():
    """Twice the height: every place is eight pixels wide, and bicubic edges apart each has its own class."""
    batch = guided(scale=(2.0, 2.0))(0)
    exact = (batch.source[:, 0] * 255 / 4 - batch.source_label_map).abs() < 0.1
    assert exact.float().mean() >= 0.25  # the inner half of each place, both ways
    assert all(len(label_map.unique()) <= 4 for label_map in batch.source_label_map)


def test_labels_leave_the_images_as_they_are():
    plain, with_labels = UnpairedBatches(guided().source, guided().target, Draws(3, 2), CROPS), guided()
    for step in range(4):
        assert torch.equal(plain(step).source, with_labels(step).source)
        assert torch.equal(plain(step).target, with_labels(step).target)
        assert plain(step).source_label_map is plain(step).labelled_target is plain(step).target_label_map is None


def test_frames_without_labels_are_ignored_throughout():
    source = FramePool([Painted(2, without=(0, 1))], 16)
    source.read_all(labels=True)
    batch = UnpairedBatches(source, FramePool([Painted(2)], 16), Draws(0, 2), CROPS, source_labels=True)(0)
    assert batch.source_label_map.unique().tolist() == [255]


def test_few_labelled_frames_come_in_rounds_of_their_own():
    batches = guided()
    seen = [batches(step).target_label_map.unique().max().item() for step in range(6)]
    assert len(set(seen)) > 1


def test_without_flip_nothing_is_mirrored():
    for step in range(6):
        label_maps = guided(flip=False)(step).source_label_map
        assert (label_maps.diff(dim=2) >= 0).all()


def test_scales_are_drawn_log_uniformly_and_never_below_the_crop():
    crops = Crops(32, (20, 20), (0.5, 2.0))
    batches = UnpairedBatches(FramePool([Painted(2)], 64), FramePool([Painted(2)], 64), Draws(0, 1), crops)
    heights = [batches._height("source", position) for position in range(400)]
    assert min(heights) == 20 and 60 < max(heights) <= 64
    assert np.median(heights) == pytest.approx(32, abs=3)
    assert batches(0).source.shape == (1, 3, 20, 20)


def test_frames_of_any_size_and_shape_fill_the_crop():
    sizes = [(4, 40), (40, 4), (8, 8), (100, 90)]
    frames = Painted(label_maps=[np.zeros(size, np.uint8) for size in sizes])
    batches = UnpairedBatches(FramePool([frames], 16), FramePool([Painted(1)], 16), Draws(0, 4), Crops(16, (12, 12)))
    assert batches(0).source.shape == (4, 3, 12, 12)
