"""Warping, visibility and flicker, on pictures that are moved by whole pixels."""

import pytest
import torch

from translate.quality.motion import flow_warped_difference, visible_before, warp


def flow(across, down, size=(6, 8)):
    return torch.tensor([float(across), float(down)])[None, :, None, None].expand(1, 2, *size)


def picture(size=(6, 8)):
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))


def test_flow_says_where_from():
    image = picture()
    moved = warp(image, flow(2, 1))
    assert torch.allclose(moved[..., :5, :6], image[..., 1:, 2:], atol=1e-5)
    assert torch.allclose(warp(image, flow(0, 0)), image, atol=1e-5)


def test_half_a_pixel_is_interpolated():
    image = torch.tensor([0.0, 1.0, 0.0]).expand(1, 1, 2, 3)
    assert warp(image, flow(0.5, 0, (2, 3)))[0, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)


def test_pixels_that_leave_the_picture_are_not_visible():
    visible = visible_before(flow(3, 0), flow(-3, 0))
    assert visible[0, 0, 0].tolist() == [True] * 5 + [False] * 3


def test_a_flow_that_does_not_come_back_is_not_visible():
    """|3 - 1|² = 4 > 0.01 (9 + 1) + 0.5; a gap of half a pixel, 0.25, is allowed."""
    assert not visible_before(flow(3, 0), flow(-1, 0)).any()
    assert visible_before(flow(1, 0), flow(-0.5, 0))[0, 0, :, :7].all()


def test_motion_is_no_flicker_and_brightness_is():
    image = picture()
    previous = torch.roll(image, 1, dims=3)
    there, back = flow(1, 0), flow(-1, 0)  # a pixel of `image` was one further to the right
    visible = visible_before(there, back)
    assert float(flow_warped_difference(previous, image, there, visible)) < 1e-5
    assert float(flow_warped_difference(previous, image + 0.1, there, visible)) == pytest.approx(0.1, abs=1e-5)


def test_nothing_visible_is_not_a_number():
    hidden = torch.zeros(1, 1, 6, 8, dtype=torch.bool)
    assert flow_warped_difference(picture(), picture(), flow(0, 0), hidden).isnan().all()
