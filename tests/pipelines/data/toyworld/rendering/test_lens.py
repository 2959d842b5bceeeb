"""Lens, sensor and codec: what each does to a picture of which the outcome is known."""

import numpy as np
import pytest

from pipelines.data.toyworld.rendering.lens import (
    aberrate,
    blur,
    compress_blocks,
    reduce_by_area,
    sense,
    soften,
    vignette,
)


def point(side=33):
    image = np.zeros((side, side), np.float32)
    image[side // 2, side // 2] = 1
    return image


def test_red_is_magnified_and_blue_reduced_about_the_centre():
    ramp = np.repeat(np.broadcast_to(np.arange(8, dtype=np.float32), (8, 8))[..., None], 3, axis=2)
    fringed = aberrate(ramp, 0.5)
    # About x = 4, red of 6 goes to 4 + 1.5 * 2 = 7 and blue of 6 to 4 + 0.5 * 2 = 5; green stays.
    assert fringed[3, 7, 0] == pytest.approx(6, abs=0.05) and fringed[3, 5, 2] == pytest.approx(6, abs=0.05)
    assert np.array_equal(fringed[..., 1], ramp[..., 1])


def test_a_point_spreads_by_the_deviation():
    spread = soften(point(), 2.0)
    places = np.arange(33) - 16
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(axis=0) * places**2).sum() == pytest.approx(4, rel=0.01), "variance of a deviation of 2 px"
    assert np.array_equal(soften(point(), 0.0), point())


def test_motion_draws_a_point_out_about_itself():
    streak = blur(point(), 0.0, (4.0, 0.0))
    assert np.argwhere(streak).tolist() == [[16, x] for x in range(14, 19)]
    assert streak.sum() == pytest.approx(1) and streak[16, 14:19] == pytest.approx(streak[16, 14:19][::-1])
    assert np.argwhere(blur(point(), 0.0, (0.0, 2.0))).tolist() == [[15, 16], [16, 16], [17, 16]]
    assert np.array_equal(blur(point(), 0.0, (0.0, 0.0)), point())


def test_coarse_pixels_are_means():
    fine = np.array([[0, 2, 5, 5], [4, 6, 5, 9]], np.float32)
    assert reduce_by_area(fine, (2, 1)).tolist() == [[3, 6]]


def test_corners_lose_light_and_the_centre_none():
    dark = vignette(np.ones((5, 7, 3), np.float32), 0.32)
    assert dark[2, 3] == pytest.approx([1, 1, 1]) and dark[0, 0] == pytest.approx([0.68] * 3)
    assert dark[2, 6] == pytest.approx([0.84] * 3), "the middle of a side is half as far, squared"


def test_noise_has_the_deviation_of_its_formula():
    flat = np.full((100, 100, 3), 0.25, np.float32)
    noise = sense(flat, shot=0.2, read=0.1, rng=np.random.default_rng(0)) - flat
    # sqrt(0.2**2 * 0.25 + 0.1**2) = sqrt(0.02) = 0.14142; 30000 draws tell it to 0.4 %.
    assert noise.std() == pytest.approx(0.14142, rel=0.02) and abs(noise.mean()) < 0.005
    assert not (sense(flat, shot=0.0, read=0.0, rng=np.random.default_rng(0)) - flat).any()


def test_compression_keeps_flat_blocks_and_any_size():
    flat = np.full((11, 13, 3), 96.0, np.float32)
    assert compress_blocks(flat, 8.0).shape == flat.shape
    assert np.abs(compress_blocks(flat, 8.0) - flat).max() < 1.0  # 96 * 8 is a multiple of the step


@pytest.mark.parametrize("amplitude, restored", [(2.0, 0.0), (3.0, 4.879)])
def test_fine_detail_is_quantised_as_worked_out_by_hand(amplitude, restored):
    # A grey wave of the highest horizontal frequency, 7, has the one coefficient amplitude * 2 * sqrt(8) = 5.657 of it.
    # Its step is 8 * (1 + 0.35 * 7) = 27.6: amplitude 2 (11.3) rounds to 0, amplitude 3 (17.0) to 27.6 / 5.657 = 4.879.
    wave = np.cos(np.pi * (2 * np.arange(8) + 1) * 7 / 16)
    image = np.broadcast_to(96 + amplitude * wave[None, :, None], (8, 8, 3)).astype(np.float32)
    expected = np.broadcast_to(96 + restored * wave[None, :, None], (8, 8, 3))
    assert compress_blocks(image, 8.0) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("beside, steps_up", [(0.0, 0), (np.inf, 1)])
def test_a_grey_that_is_nearly_between_two_steps_takes_the_nearer(beside, steps_up):
    """In single precision it would be the processor's choice, by how that adds.

    A flat block of grey v has the one coefficient 8 v. With steps of 14 the edges are at v = (k + 0.5) * 14 / 8; the
    neighbouring float32 below one belongs to k, the one above to k + 1.
    """
    k = np.arange(144)
    grey = np.nextafter(((k + 0.5) * 14 / 8).astype(np.float32), np.float32(beside))
    image = np.broadcast_to(grey.repeat(8)[None, :, None], (8, 8 * len(k), 3))
    found = compress_blocks(image, 14.0)[0, ::8, 0]
    assert found == pytest.approx((k + steps_up) * 14 / 8, abs=0.01)
