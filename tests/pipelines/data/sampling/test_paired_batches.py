"""Batches of layouts: image, labels and instances of one frame, cut alike, a function of the step."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.data.sampling.batches import Crops, Draws, FramePool
from pipelines.data.sampling.paired_batches import PairedBatches
from pipelines.data.sampling.workers import stream
from pipelines.errors import ImageError

SIZE = (16, 24)


def write_frame(root, number, instances):
    """A frame whose image repeats its train ids as greys, in stripes of four columns."""
    train_ids = ((np.arange(SIZE[1]) // 4 + number) % 19).astype(np.uint8)[None].repeat(SIZE[0], 0)
    stem = root / f"{number}_gtFine"
    write_image(root / f"{number}.png", np.stack([train_ids * 10] * 3, axis=-1))
    write_image(stem.with_name(f"{stem.name}_labelTrainIds.png"), train_ids)
    if instances:
        things = np.arange(SIZE[1], dtype=np.uint16)[None].repeat(SIZE[0], 0) // 2
        cv2.imwrite(str(stem.with_name(f"{stem.name}_instanceIds.png")), things)
    label = stem.with_name(f"{stem.name}_labelTrainIds.png")
    return Frame(str(number), root / f"{number}.png", label, cityscapes("labelTrainIds"))


@pytest.fixture
def frames(tmp_path):
    def make(*with_instances):
        found = [write_frame(tmp_path, number, instances) for number, instances in enumerate(with_instances)]
        return FrameSet("striped", tmp_path, found, [])

    return make


def paired(frame_set, **settings):
    cut = {name: settings.pop(name) for name in ("height", "scale", "flip") if name in settings}
    crops = replace(Crops(16, settings.pop("crop", (8, 8))), **cut)
    return PairedBatches(FramePool([frame_set], 16), Draws(3, settings.pop("batch", 2)), crops, **settings)


def test_image_and_labels_are_cut_and_mirrored_alike(frames):
    batches = paired(frames(False, False, False))
    for step in range(6):
        batch = batches(step)
        assert batch.image.shape == (2, 3, 8, 8) and batch.label_map.shape == (2, 8, 8)
        assert batch.label_map.dtype == torch.int64 and batch.instance_map is None
        torch.testing.assert_close(batch.image[:, 0], batch.label_map * 10 / 255)


def test_instances_go_along_where_there_are_any(frames):
    batches = paired(frames(True, False), batch=1)
    seen = {}
    for step in range(2):
        batch = batches(step)
        assert torch.equal(batch.instance_map & 255, batch.label_map)
        seen[bool((batch.instance_map > 255).any())] = batch.instance_map[0, 0].unique().numel()
    assert seen.keys() == {True, False}
    assert seen[True] > seen[False]
    assert paired(frames(True, False), instances=False)(0).instance_map is None


def test_every_frame_comes_once_before_any_comes_again(frames):
    batches = paired(frames(*[False] * 5), batch=1, crop=(24, 16), flip=False)
    for rounds in range(3):
        first = [int(batches(5 * rounds + place).label_map[0, 0, 0]) for place in range(5)]
        assert sorted(first) == [0, 1, 2, 3, 4]


def test_smaller_frames_are_enlarged_with_their_labels(frames):
    batch = paired(frames(True, True), crop=(48, 32), height=16)(0)
    assert batch.image.shape == (2, 3, 32, 48) and batch.label_map.shape == (2, 32, 48)
    assert batch.label_map[0, 0].unique().numel() == 6


def test_a_random_scale_shows_less_of_the_frame(frames):
    stripes = {
        scale: paired(frames(False, False), scale=(scale, scale), crop=(24, 16))(0).label_map[0, 0].unique().numel()
        for scale in (1.0, 2.0)
    }
    assert stripes[1.0] == 6 and stripes[2.0] in (3, 4)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_is_a_function_of_its_step(frames, workers):
    frame_set = frames(True, True, False)
    streamed = list(stream(paired(frame_set, scale=(0.5, 2.0)), 2, 5, workers))
    for step, batch in enumerate(streamed, 2):
        again = vars(paired(frame_set, scale=(0.5, 2.0))(step))
        assert all(torch.equal(tensor, again[name]) for name, tensor in vars(batch).items())


def test_memory_for_instance_maps_is_bounded(frames):
    frame_set = frames(True, True)
    kept, none_kept = paired(frame_set), paired(frame_set, kept_bytes=0)
    kept.read_instances()
    none_kept.read_instances()
    assert len(kept._kept) == 2 and not none_kept._kept
    assert torch.equal(kept(0).instance_map, none_kept(0).instance_map)


def test_other_ids_by_a_table(frames):
    table = np.arange(256, dtype=np.uint8) + 1
    plain, moved = paired(frames(False, False))(0), paired(frames(False, False), table=table)(0)
    assert torch.equal(moved.label_map, plain.label_map + 1)


def test_a_bad_instance_map_is_named_before_the_first_step(frames, tmp_path):
    frame_set = frames(True, True)
    cv2.imwrite(str(tmp_path / "1_gtFine_instanceIds.png"), np.zeros((4, 4), np.uint16))
    with pytest.raises(ImageError, match=r"1_gtFine_instanceIds\.png"):
        paired(frame_set).read_instances()
