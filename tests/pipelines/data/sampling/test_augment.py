"""Augmentation: image and label map stay in step, whatever is drawn.

Each class is painted into the image in a grey of its own, so that the image alone tells what the label map must be.
"""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.sampling.augment import (
    FrameChanges,
    SegmenterAugmentation,
    adjust_contrast,
    crop_window,
    fit_height,
)
from pipelines.data.sampling.random_keys import keyed_random
from tests.pipelines.data.sampling.painted import EVERYTHING, LOOKS

STEP = 12
"""Grey levels between neighbouring classes: 19 of them, and black for what is padded."""


CUT = {"height": 32, "crop": (64, 32), "scale": (1.0, 1.0)}


def blocks(height, width, size=4, seed=0):
    """A label map of square blocks of random classes."""
    coarse = np.random.default_rng(seed).integers(0, 19, (-(-height // size), -(-width // size)), np.uint8)
    return np.kron(coarse, np.ones((size, size), np.uint8))[:height, :width]


def paint(label_map):
    grey = np.where(label_map == 255, 0, (label_map + 1) * STEP).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def augmentation(fills_crop=False, **changes):
    cut = {key: changes.pop(key, value) for key, value in CUT.items()}
    return SegmenterAugmentation(**cut, changes=FrameChanges(**changes), fills_crop=fills_crop)


def classes_seen(image):
    """The class that each pixel's grey is nearest to; 255 for black."""
    nearest = np.rint(image[0].numpy() * 255 / STEP).astype(int) - 1
    return np.where(nearest < 0, 255, nearest)


@given(
    size=st.tuples(st.integers(8, 48), st.integers(8, 80)),
    crop=st.tuples(st.integers(8, 70), st.integers(8, 70)),
    flip=st.booleans(),
    key=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_without_scaling_image_and_label_agree_in_every_pixel(size, crop, flip, key):
    label_map = blocks(*size, seed=key)
    augment = augmentation(height=size[0], crop=crop, flip=flip)
    image, labels = augment(paint(label_map), label_map, keyed_random(key))
    assert image.shape == (3, crop[1], crop[0]) and image.dtype == torch.float32
    assert labels.shape == (crop[1], crop[0]) and labels.dtype == torch.int64
    assert np.array_equal(classes_seen(image), labels.numpy())


@given(scale=st.floats(0.4, 2.5), flip=st.booleans(), key=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_scaled_they_agree_but_for_the_blend_at_edges(scale, flip, key):
    label_map = blocks(64, 96, size=16, seed=key)
    augment = augmentation(height=64, crop=(96, 64), scale=(scale, scale), flip=flip)
    image, labels = augment(paint(label_map), label_map, keyed_random(key))
    valid = labels.numpy() != 255
    beside_the_border = {
        "borderType": cv2.BORDER_CONSTANT,
        "borderValue": 0,
    }  # another block may begin outside the crop
    inside = cv2.erode(valid.astype(np.uint8), np.ones((5, 5)), **beside_the_border) * uniform(labels.numpy())
    assert inside.any()
    assert np.array_equal(classes_seen(image)[inside > 0], labels.numpy()[inside > 0])


def uniform(labels):
    """Where a pixel's 5x5 neighbours are all of its class."""
    values, kernel = labels.astype(np.int16), np.ones((5, 5))
    return (cv2.dilate(values, kernel) == cv2.erode(values, kernel)).astype(np.uint8)


@pytest.mark.parametrize("scale", [1 / 3, 0.75, 1.3, 1.5])
def test_labels_do_not_slide_against_the_image(scale):
    """An image that rises evenly from left to right, and its own value as label: their mean difference is the shift.

    OpenCV's plain nearest neighbour is off by up to half a pixel here, to one side.
    """
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None], 60, axis=0)  # two levels a pixel
    augment = augmentation(height=60, crop=(round(120 * scale), round(60 * scale)), scale=(scale, scale))
    image, labels = augment(np.repeat(ramp[..., None], 3, axis=2), ramp, keyed_random(0))
    difference = labels.numpy() - image[0].numpy() * 255
    assert abs(difference[:, 5:-5].mean() / 2) < 0.1


def test_flips_both_or_neither_and_half_of_the_time():
    label_map = blocks(32, 64)
    results = [augmentation(flip=True)(paint(label_map), label_map, keyed_random(key))[1].numpy() for key in range(100)]
    mirrored = sum(np.array_equal(result, label_map[:, ::-1]) for result in results)
    straight = sum(np.array_equal(result, label_map) for result in results)
    assert mirrored + straight == 100
    assert 35 < mirrored < 65


def test_what_is_missing_is_black_and_ignored():
    label_map = np.full((32, 40), 3, np.uint8)
    image, labels = augmentation(crop=(64, 48))(paint(label_map), label_map, keyed_random(0))
    assert (labels == 255).sum() == 64 * 48 - 32 * 40
    assert (image[:, labels == 255] == 0).all()
    assert (labels[:32, :40] == 3).all()


@given(
    size=st.tuples(st.integers(1, 80), st.integers(1, 80)),
    crop=st.tuples(st.integers(1, 64), st.integers(1, 64)),
    key=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_where_frames_fill_the_crop_nothing_is_missing(size, crop, key):
    augment = augmentation(fills_crop=True, crop=crop, scale=(0.1, 2.0))
    labels = augment(np.full((*size, 3), 200, np.uint8), np.full(size, 3, np.uint8), keyed_random(key))[1]
    assert labels.shape == (crop[1], crop[0]) and (labels == 3).all()


def test_a_frame_that_fills_the_crop_anyway_is_cut_as_ever():
    label_map = blocks(64, 96)
    plain, filling = (augmentation(fills, height=64, scale=(0.7, 2.0), flip=True) for fills in (False, True))
    for key in range(20):
        one, other = (augment(paint(label_map), label_map, keyed_random(key)) for augment in (plain, filling))
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_ignored_pixels_stay_ignored_and_no_class_is_made_up():
    label_map = np.where(blocks(40, 70) == 5, 255, 7).astype(np.uint8)
    for key in range(20):
        labels = augmentation(scale=(0.5, 2.0), flip=True)(paint(label_map), label_map, keyed_random(key))[1]
        assert set(labels.unique().tolist()) <= {7, 255}


def test_scales_are_drawn_evenly_in_their_logarithm():
    label_map = np.zeros((64, 64), np.uint8)
    augment = augmentation(height=64, crop=(128, 128), scale=(0.5, 2.0))
    areas = [(augment(paint(label_map), label_map, keyed_random(key))[1] == 0).sum().item() for key in range(200)]
    scales = np.sqrt(np.array(areas)) / 64
    assert 0.49 < scales.min() < 0.55 and 1.9 < scales.max() < 2.01
    assert 0.4 < (scales < 1).mean() < 0.6


def test_colour_and_blur_leave_labels_alone_and_stay_in_range():
    label_map = blocks(32, 64)
    plain, labels = augmentation()(paint(label_map), label_map, keyed_random(3))
    coloured, same = augmentation(colour_jitter=0.5, blur=1.0)(paint(label_map), label_map, keyed_random(3))
    assert torch.equal(labels, same)
    assert not torch.allclose(plain, coloured, atol=0.01)
    assert coloured.min() >= 0 and coloured.max() <= 1


def target_frame():
    """A warm, noisy picture of another size."""
    noise = np.random.default_rng(9).integers(0, 100, (50, 70, 3))
    return (noise + np.array([120, 80, 40])).astype(np.uint8)


@pytest.mark.parametrize("changes", LOOKS.values(), ids=LOOKS)
@given(size=st.tuples(st.integers(8, 48), st.integers(8, 80)), flip=st.booleans(), key=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_looks_leave_labels_crops_and_flips_alone(changes, size, flip, key):
    """Only the image changes: the label map is, pixel by pixel, that of the plain augmentation."""
    label_map, plain = blocks(*size, seed=key), {"height": 32, "scale": (0.5, 2.0), "flip": flip}
    _, labels = augmentation(**plain)(paint(label_map), label_map, keyed_random(key), target_frame)
    image, same = augmentation(**plain | changes)(paint(label_map), label_map, keyed_random(key), target_frame)
    assert torch.equal(labels, same)
    assert image.shape == (3, 32, 64) and image.dtype == torch.float32
    assert image.min() >= 0 and image.max() <= 1


@pytest.mark.parametrize("changes", LOOKS.values(), ids=LOOKS)
def test_looks_change_every_frame_or_none(changes):
    label_map, image = blocks(32, 64), coloured(32, 64)
    plain = augmentation()(image, label_map, keyed_random(0), target_frame)[0]
    for key in range(10):
        changed = augmentation(**changes)(image, label_map, keyed_random(key), target_frame)[0]
        assert not torch.allclose(plain, changed, atol=1e-3)
        never = {name: 0.0 for name in changes if not name.startswith("style")} | {"style_from_target": 0.0}
        same = augmentation(**never)(image, label_map, keyed_random(key), target_frame)[0]
        assert torch.equal(plain, same)


def coloured(height, width):
    return np.random.default_rng(1).integers(30, 220, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("name", "changes"), [pair for pair in LOOKS.items() if pair[0] != "colour_jitter"])
def test_probabilities_are_kept(name, changes):
    """A quarter of 200 frames: a standard deviation of 3 %."""
    label_map, image = blocks(32, 64), coloured(32, 64)
    plain = augmentation()(image, label_map, keyed_random(0))[0]
    rare = {key: 0.25 if value == 1.0 else value for key, value in changes.items()}
    results = [augmentation(**rare)(image, label_map, keyed_random(key), target_frame)[0] for key in range(200)]
    assert 0.15 < np.mean([not torch.equal(plain, result) for result in results]) < 0.35


def test_gamma_is_one_power_of_all_values():
    label_map, image = blocks(32, 64), coloured(32, 64)
    powers = []
    for key in range(50):
        result = augmentation(gamma=1.0)(image, label_map, keyed_random(key))[0]
        ratio = result.log() / augmentation()(image, label_map, keyed_random(key))[0].log()
        assert ratio.max() - ratio.min() < 1e-3
        powers.append(ratio.mean().item())
    assert 0.5 <= min(powers) < 0.6 and 1.7 < max(powers) <= 2.0
    assert 0.3 < np.mean(np.array(powers) < 1) < 0.7


def test_grey_has_no_colour():
    image = augmentation(grey=1.0)(coloured(32, 64), blocks(32, 64), keyed_random(0))[0]
    assert torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])


def test_a_lower_quality_of_jpeg_differs_more():
    label_map, image = blocks(32, 64), coloured(32, 64)
    plain = augmentation()(image, label_map, keyed_random(0))[0]
    errors = []
    for quality in (95, 60, 10):
        result = augmentation(jpeg=1.0, jpeg_quality=(quality, quality))(image, label_map, keyed_random(0))[0]
        errors.append((result - plain).abs().mean().item())
    assert 0 < errors[0] < errors[1] < errors[2]


def test_the_target_lends_its_colours_and_keeps_the_margin_black():
    label_map = blocks(32, 40)
    image, labels = augmentation(crop=(64, 48), flip=True, style_from_target=1.0)(
        coloured(32, 40), label_map, keyed_random(2), target_frame
    )
    shown = labels != 255
    mean = image[:, shown].mean(1) * 255
    assert mean.tolist() == pytest.approx([170, 130, 90], abs=8)
    assert (image[:, ~shown] == 0).all()


def test_a_frame_without_style_keeps_its_looks():
    plain = augmentation()(coloured(32, 64), blocks(32, 64), keyed_random(2))[0]
    same = augmentation(style_from_target=1.0)(coloured(32, 64), blocks(32, 64), keyed_random(2), None)[0]
    assert torch.equal(plain, same)


def test_the_number_of_threads_does_not_show():
    """A worker process has one thread, this process may have more. 256x192 is where torch's own mean differed."""
    label_map = blocks(192, 256)
    for style in ("colour", "fourier"):
        augment = augmentation(height=192, crop=(256, 192), **EVERYTHING | {"style": style})
        threads, images = torch.get_num_threads(), []
        for number in (1, 2, 4):
            torch.set_num_threads(number)
            images.append(augment(paint(label_map), label_map, keyed_random(5), target_frame)[0])
        torch.set_num_threads(threads)
        assert torch.equal(images[0], images[1]) and torch.equal(images[0], images[2])


def test_contrast_worked_out_by_hand():
    """Two grey pixels, 0.2 and 0.6: the mean is 0.4; doubled contrast gives 0.0 and 0.8."""
    image = torch.tensor([0.2, 0.6]).expand(3, 1, 2)
    everywhere = torch.ones(1, 2, dtype=torch.bool)
    assert torch.allclose(adjust_contrast(image, 2.0, everywhere), torch.tensor([0.0, 0.8]).expand(3, 1, 2), atol=1e-3)


def test_contrast_is_around_what_is_shown():
    """Beside the two a black one that was filled up: the mean is 0.4 all the same, and halved contrast 0.3 and 0.5."""
    image, shown = torch.tensor([0.2, 0.6, 0.0]).expand(3, 1, 3), torch.tensor([[True, True, False]])
    changed = adjust_contrast(image, 0.5, shown)[:, :, :2]
    assert torch.allclose(changed, torch.tensor([0.3, 0.5]).expand(3, 1, 2), atol=1e-3)


@pytest.mark.parametrize("changes", LOOKS.values(), ids=LOOKS)
def test_what_is_missing_is_black_whatever_the_looks(changes):
    """A method that looks for what a frame shows knows the filling by it."""
    label_map = blocks(32, 40)
    for key in range(5):
        augment = augmentation(crop=(64, 48), flip=True, **changes)
        image, labels = augment(coloured(32, 40), label_map, keyed_random(key), target_frame)
        assert (image[:, labels == 255] == 0).all() and (image[:, labels != 255] > 0).any()


def test_the_same_key_gives_the_same_bits():
    label_map = blocks(32, 64)
    augment = augmentation(scale=(0.5, 2.0), flip=True, **EVERYTHING)
    for key in range(5):
        one, other = (augment(paint(label_map), label_map, keyed_random(key), target_frame) for _ in range(2))
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


@pytest.mark.parametrize(
    ("size", "height", "options", "expected"),
    [
        ((100, 200), 50, {}, (50, 100)),
        ((40, 80), 50, {}, (40, 80)),
        ((40, 80), 50, {"enlarge": True}, (50, 100)),
        ((50, 80), 50, {"enlarge": True}, (50, 80)),
        ((100, 40), 50, {"least_width": 30}, (75, 30)),
        ((200, 1), 50, {}, (50, 1)),
        ((10, 10), 20, {"enlarge": True, "least_width": 64}, (64, 64)),
    ],
)
def test_fit_height(size, height, options, expected):
    image = fit_height(np.full((*size, 3), 9, np.uint8), height, **options)
    assert image.shape == (*expected, 3)
    assert (image == 9).all()


@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    key=st.integers(0, 99),
)
@settings(max_examples=50)
def test_crop_windows_lie_inside(shape, size, key):
    top, left = crop_window(shape, size, keyed_random(key))
    for start, extent, whole in zip((top, left), size, shape, strict=True):
        assert start == 0 or start + extent <= whole


def test_crop_windows_reach_both_borders():
    tops = {crop_window((10, 10), (8, 8), keyed_random(key))[0] for key in range(50)}
    assert tops == {0, 1, 2}
