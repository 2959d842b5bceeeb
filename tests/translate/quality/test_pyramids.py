"""Laplacian pyramids and their patches."""

import pytest
import torch

from translate.quality.pyramids import coarsest_side, descriptors, draw_patches, laplacian_pyramid, level_heights


def picture(height, width, channels=3):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_levels_halve_and_the_last_keeps_the_rest():
    pyramid = laplacian_pyramid(picture(40, 63), 3)
    assert [tuple(level.shape[-2:]) for level in pyramid] == [(40, 63), (20, 32), (10, 16)]


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_the_sides_of_the_last_level(levels):
    last = laplacian_pyramid(picture(40, 63), levels)[-1]
    assert (coarsest_side(40, levels), coarsest_side(63, levels)) == tuple(last.shape[-2:])


@pytest.mark.parametrize("side", [15, 16, 17])
def test_an_even_image_has_only_the_last_level(side):
    """Blurring and enlarging keep a constant constant, at the borders, too."""
    fine, rest = laplacian_pyramid(torch.full((1, 1, side, side), 0.25), 2)
    assert fine.abs().max() < 1e-6
    assert torch.allclose(rest, torch.full((1, 1, -(-side // 2), -(-side // 2)), 0.25))


def test_a_dot_worked_out_by_hand():
    """Kernel (1 4 6 4 1)/16: a dot on an even pixel leaves (6/16)² there, and 4·(6/16)²·(6/16)² comes back."""
    image = torch.zeros(1, 1, 16, 16)
    image[..., 8, 8] = 1.0
    fine, rest = laplacian_pyramid(image, 2)
    assert float(rest[0, 0, 4, 4]) == pytest.approx((6 / 16) ** 2)
    back = (
        sum(  # from the dot's own coarse pixel, its four neighbours and the four corners
            4 * blurred * enlarged for blurred, enlarged in ((36 * 36, 1), (4 * 6 * 1 * 6 * 1, 1), (4 * 1 * 1, 1))
        )
        / 16**4
    )
    assert float(fine[0, 0, 8, 8]) == pytest.approx(1 - back)


@pytest.mark.parametrize(("height", "expected"), [(256, [256, 128, 64, 32, 16]), (60, [60, 30]), (10, [10])])
def test_heights_of_levels(height, expected):
    assert level_heights(height) == expected


def test_patches_come_from_the_image():
    image = torch.arange(9 * 11.0).reshape(1, 9, 11)
    patches = draw_patches(image, 50, torch.Generator().manual_seed(0))
    assert patches.shape == (50, 1, 7, 7)
    corners = {(int(patch[0, 0, 0]) // 11, int(patch[0, 0, 0]) % 11) for patch in patches}
    assert corners == {(top, left) for top in range(3) for left in range(5)}
    for patch in patches:
        top, left = int(patch[0, 0, 0]) // 11, int(patch[0, 0, 0]) % 11
        assert torch.equal(patch, image[:, top : top + 7, left : left + 7])


def test_an_image_below_a_patch_is_refused():
    with pytest.raises(ValueError, match="The image is 20x6; patches are 7x7"):
        draw_patches(torch.zeros(3, 6, 20), 1, torch.Generator())


def test_descriptors_are_normalised_by_channel():
    patches = picture(1, 1).new_tensor([1.0, 3.0]).repeat(2, 1)[:, :, None, None].expand(2, 2, 7, 7).clone()
    patches[1] += 4  # channel 0 holds 1 and 5, channel 1 holds 3 and 7: both become -1 and 1
    rows = descriptors(patches)
    assert (
        rows.shape == (2, 98) and torch.allclose(rows[0], -torch.ones(98)) and torch.allclose(rows[1], torch.ones(98))
    )
