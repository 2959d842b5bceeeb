"""Crops of a frame and of its translation: one place, one mirror, whatever the translation's size."""

import numpy as np
import pytest
import torch

from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.readers.layout import Frame
from pipelines.data.sampling.batches import Crops, Draws, FramePool
from pipelines.data.sampling.translated_batches import TranslatedBatches
from pipelines.errors import UserError


@pytest.fixture
def pool(tmp_path):
    """A function: a name and images -> their pool."""

    def make(name, *images):
        frames = []
        for index, image in enumerate(images):
            path = tmp_path / name / f"{index}.png"
            write_image(path, image)
            frames.append(Frame(str(index), path))
        return FramePool([FrameSet(name, tmp_path, frames, [])], height=64)

    return make


def drawn(seed, height=32, width=48):
    return np.random.default_rng(seed).integers(0, 200, (height, width, 3), dtype=np.uint8)


def batches(source, translated, batch=2, size=(16, 16), labels=False, **crops):
    return TranslatedBatches(source, translated, Draws(0, batch), Crops(32, size, **crops), labels)


def test_both_are_cut_at_one_place_and_mirrored_alike(pool):
    """A teacher that makes all pixels brighter by 50 does so in every crop."""
    images = [drawn(seed) for seed in range(3)]
    made = batches(pool("source", *images), pool("teacher", *(image + 50 for image in images)))
    for step in range(8):
        batch = made(step)
        assert batch.source.shape == (2, 3, 16, 16)
        torch.testing.assert_close(batch.translated - batch.source, torch.full_like(batch.source, 50 / 255))


def test_every_frame_comes_once_a_round(pool):
    images = [np.full((32, 48, 3), value, np.uint8) for value in (0, 51, 102)]
    made = batches(pool("source", *images), pool("teacher", *images), batch=1)
    seen = [round(made(step).source.mean().item() * 5) for step in range(6)]
    assert sorted(seen[:3]) == sorted(seen[3:]) == [0, 1, 2]


def test_a_batch_is_a_function_of_its_step_and_shared_by_slots(pool):
    images = [drawn(seed) for seed in range(3)]
    pools = pool("source", *images), pool("teacher", *images)
    whole = batches(*pools, scale=(0.8, 1.5))(5)
    again = batches(*pools, scale=(0.8, 1.5))(5)
    assert torch.equal(whole.source, again.source)
    second = TranslatedBatches(*pools, Draws(0, 2, range(1, 2)), Crops(32, (16, 16), (0.8, 1.5)))(5)
    assert torch.equal(second.source, whole.source[1:]) and torch.equal(second.translated, whole.translated[1:])


def test_a_translation_of_another_size_is_brought_to_that_of_its_source(pool):
    """Left half dark, right half bright, at half the size and a little squeezed: the border stays where it was."""
    image, smaller = np.zeros((32, 48, 3), np.uint8), np.zeros((16, 23, 3), np.uint8)
    image[:, 24:], smaller[:, 12:] = 200, 200
    batch = batches(pool("source", image), pool("teacher", smaller), batch=1, size=(48, 32), flip=False)(0)
    assert batch.translated.shape == batch.source.shape
    assert (batch.translated[..., :20] < 0.1).all() and (batch.translated[..., 28:] > 0.7).all()


def test_labels_come_with_the_crops_ignored_where_there_are_none(pool):
    made = batches(pool("source", drawn(0)), pool("teacher", drawn(0)), labels=True)
    assert (made(0).source_label_map == 255).all() and made(0).source_label_map.shape == (2, 16, 16)


def test_another_view_is_refused_by_name(pool):
    made = batches(pool("source", drawn(0)), pool("teacher", drawn(0, 32, 32)))
    with pytest.raises(UserError, match=r"teacher/0.png: .*it is 32x32 .*source/0.png 48x32; expected the same view"):
        made(0)


def test_refuses_other_counts(pool):
    with pytest.raises(ValueError, match="1 source frames and 2 translations"):
        batches(pool("source", drawn(0)), pool("teacher", drawn(0), drawn(1)))
