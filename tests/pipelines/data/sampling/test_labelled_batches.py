"""Batches of a segmenter: in the shares asked for, rare classes more often, target looks where they may be taken."""

from collections import Counter

import numpy as np
import pytest
import torch

from pipelines.data.sampling.augment import FrameChanges, SegmenterAugmentation
from pipelines.data.sampling.batches import Draws, FramePool
from pipelines.data.sampling.labelled_batches import LabelledBatches, Mixture, RareClassSampler
from pipelines.data.sampling.random_keys import keyed_random
from pipelines.errors import NoInputsError
from tests.pipelines.data.sampling.painted import PLAIN, Painted, greys, labelled


def test_batches_of_the_segmenter():
    batch = labelled()(0)
    assert batch.image.shape == (3, 3, 16, 24) and batch.image.dtype == torch.float32
    assert batch.label_map.shape == (3, 16, 24) and batch.label_map.dtype == torch.int64


def test_label_and_image_are_of_the_same_frame():
    for step in range(20):
        batch = labelled(augmentation=PLAIN)(step)
        frames = [grey % 100 for grey in greys(batch.image)]
        assert [labels[0, 0].item() for labels in batch.label_map] == frames


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9, 1.0])
def test_shares_are_respected(share):
    """400 draws: a standard deviation of at most 0.025, so 0.08 is more than three of them."""
    batches = labelled(shares={"translated": share, "source": 1 - share, "target": 0.0}, augmentation=PLAIN)
    drawn = [grey for step in range(134) for grey in greys(batches(step).image)]
    assert np.mean([grey < 100 for grey in drawn]) == pytest.approx(share, abs=0.08 if 0 < share < 1 else 0)


def test_a_pool_without_a_share_need_not_exist():
    pools = {"source": FramePool([Painted(2)], 16)}
    batches = LabelledBatches(pools, Mixture({"translated": 0.0, "source": 1.0, "target": 0.0}), Draws(0, 2), PLAIN)
    assert batches(0).image.shape[0] == 2


def test_frames_of_a_pool_are_drawn_evenly():
    batches = labelled(shares={"translated": 0.0, "source": 1.0}, augmentation=PLAIN)
    counts = Counter(grey for step in range(200) for grey in greys(batches(step).image))
    assert set(counts) == set(range(100, 106))
    assert max(counts.values()) < 1.4 * min(counts.values())


def test_weights_decide_how_often_a_frame_of_a_pool_is_drawn():
    """Weights 1 and 3 of two frames: of 800 draws 3/4, with a standard deviation of 1.5 %; a weight of 0 is never."""
    pools = {"translated": FramePool([Painted(3)], 16), "source": FramePool([Painted(2, first=100)], 16)}
    weights = {"translated": np.array([1.0, 3.0, 0.0])}
    mixture = Mixture({"translated": 0.5, "source": 0.5}, weights=weights)
    batches = LabelledBatches(pools, mixture, Draws(0, 8), PLAIN)
    drawn = Counter(grey for step in range(200) for grey in greys(batches(step).image))
    assert drawn[1] / (drawn[0] + drawn[1]) == pytest.approx(0.75, abs=0.05) and drawn[2] == 0
    assert drawn[100] / (drawn[100] + drawn[101]) == pytest.approx(0.5, abs=0.06)


def test_equal_weights_change_the_draws_of_no_other_pool():
    plain, weighted = (
        LabelledBatches({"source": FramePool([Painted(5)], 16)}, mixture, Draws(0, 4), PLAIN)
        for mixture in (Mixture({"source": 1.0}), Mixture({"source": 1.0}, weights={"translated": np.ones(3)}))
    )
    assert all(torch.equal(plain(step).image, weighted(step).image) for step in range(10))


SHARES = {"translated": 0.5, "source": 0.3, "target": 0.2}


def pools_of_shares():
    return {name: FramePool([Painted(5, first=first)], 16) for name, first in zip(SHARES, (0, 100, 200), strict=True)}


def mixed(batch=8, share=None, style=None, style_in_batch=False, **how):
    draws = Draws(1, batch, share)
    return LabelledBatches(pools_of_shares(), Mixture(SHARES, **how), draws, PLAIN, style, style_in_batch)


@pytest.mark.parametrize("batch", [1, 2, 8, 10])
def test_exact_shares_are_off_by_less_than_one_frame_in_every_batch(batch):
    batches, total = mixed(batch=batch, exact_shares=True), Counter()
    for step in range(300):
        counts = Counter(grey // 100 for grey in greys(batches(step).image))
        assert all(abs(counts[k] - share * batch) < 1 for k, share in enumerate(SHARES.values()))
        total += counts
    assert [total[k] / (300 * batch) for k in range(3)] == pytest.approx(list(SHARES.values()), abs=0.07)


def test_the_last_steps_are_of_target_frames_alone():
    batches = mixed(target_from_step=5)
    assert {grey // 100 for step in (5, 6, 20) for grey in greys(batches(step).image)} == {2}
    assert all(torch.equal(batches(step).image, mixed()(step).image) for step in range(5))


def test_shares_of_classes_are_those_of_the_mixture():
    """Translated frames are road, source frames half sidewalk and half ignored: 0.75 and 0.25 at shares of 3 to 1."""
    half = np.full((8, 8), 1, np.uint8)
    half[4:] = 255
    maps = {"translated": [np.zeros((8, 8), np.uint8)] * 3, "source": [half]}
    pools = {name: FramePool([Painted(label_maps=of)], 8) for name, of in maps.items()}
    batches = LabelledBatches(pools, Mixture({"translated": 0.75, "source": 0.25}), Draws(0, 2), PLAIN)
    assert batches.class_shares(19)[:3].tolist() == [0.75, 0.25, 0]


def test_frames_of_the_target_keep_their_looks_and_others_take_them():
    style = FramePool([Painted(1, first=250)], 16)
    restyled = SegmenterAugmentation(16, (24, 16), changes=FrameChanges(style_from_target=1.0))
    drawn = greys(LabelledBatches(pools_of_shares(), Mixture(SHARES), Draws(1, 40), restyled, style)(0).image)
    assert set(drawn) <= {250, 200, 201, 202, 203, 204} and 20 < sum(grey == 250 for grey in drawn) < 40


def test_style_images_go_with_the_batch_where_the_device_uses_them():
    batch = mixed(style=FramePool([Painted(2, first=250)], 16), style_in_batch=True)(0)
    assert batch.style.shape == batch.image.shape and set(greys(batch.style)) == {250, 251}
    assert batch.styled.tolist() == [grey < 200 for grey in greys(batch.image)]
    assert mixed(style_in_batch=True)(0).style is None


# --- rare classes ------------------------------------------------------------------------------------------


def two_classes(rare_pixels):
    """10x10 label map: `rare_pixels` of class 1, the rest class 0."""
    label_map = np.zeros(100, np.uint8)
    label_map[:rare_pixels] = 1
    return label_map.reshape(10, 10)


def test_probabilities_of_classes_worked_out_by_hand():
    """Frames of 0, 0 and 60 rare pixels: f = (240/300, 60/300) = (0.8, 0.2).

    With T = 0.5: exp(0.2 / 0.5) : exp(0.8 / 0.5) = 1.4918 : 4.9530, so P = (0.2315, 0.7685).
    """
    pool = FramePool([Painted(label_maps=[two_classes(0), two_classes(0), two_classes(60)])], 10)
    sampler = RareClassSampler({"source": pool}, 3, temperature=0.5)
    assert sampler.probabilities["source"] == pytest.approx([0.2315, 0.7685, 0.0], abs=1e-4)
    assert [frames.tolist() for frames in sampler.frames["source"]] == [[0, 1, 2], [2], []]
    drawn = Counter(sampler("source", keyed_random(draw)) for draw in range(2000))
    assert drawn[2] / 2000 == pytest.approx(0.7685 + 0.2315 / 3, abs=0.03)


def test_a_frame_with_a_handful_of_pixels_does_not_show_a_class():
    """The least share is 3000 / (1280 * 720) = 0.33 %: of 100x100 labelled pixels 33 are enough... 32 are not."""
    big = [np.zeros(10_000, np.uint8) for _ in range(2)]
    big[0][:32], big[1][:33] = 1, 1
    pool = FramePool([Painted(label_maps=[one.reshape(100, 100) for one in big])], 100)
    frames = RareClassSampler({"a": pool}, 19, 0.01).frames["a"]
    assert frames[1].tolist() == [1]


def test_ignored_pixels_do_not_count():
    half = two_classes(20)
    half[5:] = 255
    pool = FramePool([Painted(label_maps=[half])], 10)
    assert pool.classes_by_frame(19)[0, :3].tolist() == [30, 20, 0]
    sampler = RareClassSampler({"a": pool}, 19, temperature=1.0)
    ratio = np.exp(0.6 - 0.4)  # f = (0.6, 0.4)
    assert sampler.probabilities["a"][:2] == pytest.approx([1 / (1 + ratio), ratio / (1 + ratio)])


def test_weights_hold_among_the_frames_that_show_a_class():
    """Both frames show class 1, which alone is drawn at this temperature: weights 1 and 4 give 1/5 and 4/5."""
    pool = FramePool([Painted(label_maps=[two_classes(20), two_classes(20)])], 10)
    sampler = RareClassSampler({"source": pool}, 3, 1e-3, {"source": np.array([1.0, 4.0])})
    drawn = Counter(sampler("source", keyed_random(draw)) for draw in range(1000))
    assert drawn[1] / 1000 == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 1e3])
def test_extreme_temperatures_still_give_probabilities(temperature):
    pool = FramePool([Painted(label_maps=[two_classes(0), two_classes(1)])], 10)
    probabilities = RareClassSampler({"a": pool}, 19, temperature).probabilities["a"]
    assert probabilities.sum() == pytest.approx(1)
    assert probabilities[1] == pytest.approx(1.0 if temperature < 1 else 0.5, abs=1e-3)


def test_label_maps_that_are_ignored_throughout_are_refused():
    pool = FramePool([Painted(label_maps=[np.full((8, 8), 255, np.uint8)])], 8)
    with pytest.raises(NoInputsError, match="no source frame shows a class"):
        RareClassSampler({"source": pool}, 19, 0.01)


def test_the_sampler_chooses_the_frame_within_the_pool():
    pools = {"source": FramePool([Painted(3)], 16), "target": FramePool([Painted(3, first=100)], 16)}
    chosen = {"source": 1, "target": 2}
    mixture = Mixture({"source": 0.5, "target": 0.5}, lambda name, random: chosen[name])
    batches = LabelledBatches(pools, mixture, Draws(0, 8), PLAIN)
    assert {grey for step in range(5) for grey in greys(batches(step).image)} == {1, 102}


@pytest.mark.parametrize("options", [{}, {"exact_shares": True}, {"style": True, "style_in_batch": True}], ids=str)
def test_what_processes_make_of_a_batch_is_the_batch(options):
    """Slots know nothing of who makes them, so the number of processes does not change what is learnt from."""
    if "style" in options:
        options = options | {"style": FramePool([Painted(4, first=150)], 16)}
    whole = mixed(**options)
    parts = [mixed(share=share, **options) for share in (range(0, 4), range(4, 8))]
    for step in range(5):
        expected, found = whole(step), [part(step) for part in parts]
        for name in ("image", "label_map", "style", "styled"):
            if getattr(expected, name) is not None:
                joined = torch.cat([getattr(part, name) for part in found])
                assert torch.equal(joined, getattr(expected, name))
