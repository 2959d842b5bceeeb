"""What batches are drawn from: the same whoever makes them and in whatever order, turns, heights, frames in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.data.sampling.augment import SegmenterAugmentation
from pipelines.data.sampling.batches import Crops, Draws, FramePool, largest_height
from pipelines.data.sampling.labelled_batches import LabelledBatches, Mixture
from pipelines.errors import NoInputsError
from tests.pipelines.data.sampling.painted import Painted, assert_equal, fields, labelled, unpaired

# --- a batch is a function of its step --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [unpaired, labelled])
@given(steps=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
@settings(max_examples=10, deadline=None)
def test_the_order_of_asking_does_not_matter(make, steps):
    asked = make()
    batches = {step: asked(step) for step in steps}
    for step in reversed(steps):
        assert_equal(make()(step), batches[step])


@pytest.mark.parametrize("make", [unpaired, labelled])
def test_seeds_differ(make):
    assert not all(torch.equal(a, b) for a, b in zip(fields(make(seed=1)(0)), fields(make(seed=2)(0)), strict=True))


def test_every_frame_has_its_turn_before_any_has_another():
    draws = Draws(seed=3, batch=2)
    rounds = [[draws.frame_at("source", 7 * one + place, 7) for place in range(7)] for one in range(4)]
    assert all(sorted(turns) == list(range(7)) for turns in rounds) and len(set(map(tuple, rounds))) > 1
    assert [draws.frame_at("target", place, 7) for place in range(7)] != rounds[0]


def test_heights_are_drawn_within_the_scale_and_never_below_a_crop():
    """From 0.5 to 2 times 40, but 32 at least."""
    crops = Crops(40, (48, 32), (0.5, 2.0))
    heights = [crops.drawn_height(np.random.default_rng(seed)) for seed in range(200)]
    assert min(heights) == 32 and 70 < max(heights) <= 80 and crops.fixed_height() is None
    assert Crops(40, (48, 32), (1.5, 1.5)).fixed_height() == 60 and Crops(20, (48, 32)).fixed_height() == 32


@pytest.mark.parametrize(("scale", "expected"), [(2.0, 256), (1.5, 192), (0.5, 128), (1.001, 129)])
def test_largest_height(scale, expected):
    assert largest_height(128, scale) == expected


# --- frames in memory ------------------------------------------------------------------------------------------


def test_frames_are_reduced_once_and_kept():
    frames = Painted(label_maps=[np.zeros((40, 60), np.uint8)])
    pool = FramePool([frames], 20)
    assert pool.image(0).shape == (20, 30, 3) and pool.label_map(0).shape == (20, 30)
    assert pool.image(0) is pool.image(0) and pool.label_map(0) is pool.label_map(0)
    assert frames.reads == {0: 1}


def test_lower_frames_are_kept_as_they_are():
    assert FramePool([Painted(1, size=(16, 24))], 200).image(0).shape == (16, 24, 3)


def test_no_more_is_kept_than_allowed():
    """Each image takes 16 * 24 * 3 = 1152 bytes: two fit into 2400, and their label maps (384 each) do not."""
    frames = Painted(4)
    pool = FramePool([frames], 16, kept_bytes=2400)
    for _ in range(3):
        for index in range(4):
            assert pool.image(index)[0, 0, 0] == index
    assert frames.reads == {0: 1, 1: 1, 2: 3, 3: 3}
    assert pool.label_map(0)[0, 0] == 0
    assert pool.label_map(0) is not pool.label_map(0)


def test_label_maps_and_their_classes_are_had_without_the_images():
    """Of frames that are not kept each image would be decoded twice for a batch, and all of them to count classes."""
    frames = Painted(label_maps=[np.full((40, 61), 3, np.uint8), np.full((10, 7), 4, np.uint8)], without=(1,))
    pool = FramePool([frames], 20, kept_bytes=0)
    assert pool.label_map(0).shape == (20, 30) == pool.kept_shape((40, 61, 3)) and not frames.reads
    assert pool.label_map(1).shape == (10, 7) == pool.kept_shape((10, 7))  # of no label map the image tells the size
    pool = FramePool([Painted(label_maps=frames.label_maps[:1])], 20, kept_bytes=0)
    assert pool.classes_by_frame(5)[0].tolist() == [0, 0, 0, 600, 0] and not pool.places[0][0].reads


@given(height=st.integers(1, 60), width=st.integers(1, 60), wanted=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_a_label_map_is_of_the_size_of_its_image(height, width, wanted):
    pool = FramePool([Painted(1, size=(height, width))], wanted)
    assert pool.label_map(0).shape == pool.image(0).shape[:2] == pool.kept_shape((height, width))


def test_several_sets_are_one_pool():
    pool = FramePool([Painted(2), Painted(3, first=100)], 16)
    assert [pool.image(index)[0, 0, 0] for index in range(len(pool))] == [0, 1, 100, 101, 102]


@pytest.mark.parametrize("sets", [[], [Painted(0)]])
def test_a_pool_without_frames_is_refused(sets):
    with pytest.raises(NoInputsError, match="no frames to train on"):
        FramePool(sets, 16)


def test_classes_keep_their_ids_from_the_file_to_the_batch(tmp_path):
    ids = np.array([[7, 26], [33, 0]], np.uint8).repeat(8, 0).repeat(8, 1)  # road, car, bicycle, unlabelled
    write_image(tmp_path / "image.png", np.zeros((16, 16, 3), np.uint8))
    write_image(tmp_path / "ids.png", ids)
    frames = FrameSet("one", tmp_path, [Frame("0", tmp_path / "image.png", tmp_path / "ids.png", cityscapes())], [])
    pools, augmentation = {"source": FramePool([frames], 16)}, SegmenterAugmentation(16, (16, 16))
    batch = LabelledBatches(pools, Mixture({"source": 1.0}), Draws(0, 1), augmentation)(0)
    assert batch.label_map[0, ::8, ::8].tolist() == [[0, 13], [18, 255]]


class TestLabelsWithoutAClass:
    """The loss of such labels is zero throughout: a training on them would end well and have learnt nothing."""

    def test_a_set_of_them_is_refused_before_the_first_step(self):
        nothing, something = Painted(label_maps=[np.full((4, 6), 255, np.uint8)] * 2), Painted(3)
        nothing.name = "empty"
        pool = FramePool([something, nothing], 8)
        pool.read_all(labels=False)
        with pytest.raises(NoInputsError, match=r"no frame of empty shows a class.*nothing to learn from"):
            pool.read_all(labels=True)

    def test_so_is_one_that_is_not_kept_in_memory(self):
        pool = FramePool([Painted(label_maps=[np.full((4, 6), 255, np.uint8)] * 2)], 8, kept_bytes=0)
        with pytest.raises(NoInputsError, match="no frame of painted shows a class"):
            pool.read_all(labels=True)

    def test_a_single_pixel_is_enough_and_frames_without_label_maps_are_no_matter(self):
        label_maps = [np.full((4, 6), 255, np.uint8) for _ in range(2)]
        label_maps[1][0, 0] = 18
        one_pixel, without = FramePool([Painted(label_maps=label_maps)], 8), FramePool([Painted(2, without=(0, 1))], 8)
        one_pixel.read_all(labels=True)
        without.read_all(labels=True)
        assert (one_pixel.label_map(1) != 255).sum() == 1 and (without.label_map(1) == 255).all()
