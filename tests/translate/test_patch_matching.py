"""Patches side by side, and the nearest real one by features that can be read off."""

import pytest
import torch

from translate.patch_matching import AT_ONCE, RealPatches, grid_patches


def mean_colour(patches):
    """The features of these tests: the mean of each channel."""
    return patches.mean((2, 3))


def plain(*colour):
    """One patch of 2x2 pixels, uint8."""
    return torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 2, 2)


def test_patches_lie_side_by_side():
    image = torch.arange(2 * 5 * 4).view(2, 1, 5, 4)
    patches = grid_patches(image, 2)
    assert patches.shape == (8, 1, 2, 2)
    assert patches[0, 0].tolist() == [[0, 1], [4, 5]]
    assert patches[1, 0].tolist() == [[2, 3], [6, 7]]
    assert patches[2, 0].tolist() == [[8, 9], [12, 13]]  # the fifth row is left over
    assert patches[4, 0].tolist() == [[20, 21], [24, 25]]  # the second image


def test_a_patch_of_the_images_size_is_the_image():
    image = torch.rand(2, 3, 8, 8)
    assert torch.equal(grid_patches(image, 8), image)


def test_refuses_patches_that_do_not_fit():
    with pytest.raises(ValueError, match="Images are 8x4; patches of 5 pixels do not fit"):
        grid_patches(torch.zeros(1, 3, 4, 8), 5)


def test_the_nearest_by_direction_of_the_features():
    """Dark red is nearer to bright red than to dark green: lengths do not count."""
    real = RealPatches([plain(255, 0, 0), plain(0, 51, 0), plain(0, 0, 255)], mean_colour)
    asked = torch.tensor([[0.1, 0.02, 0.0], [0.0, 0.3, 0.2]])[:, :, None, None].expand(2, 3, 2, 2)
    found = real.nearest(asked)
    assert found[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    assert found[1, :, 0, 0].tolist() == pytest.approx([0.0, 0.2, 0.0])
    assert len(real) == 3 and real.side == 2


def test_of_equals_the_first():
    real = RealPatches([plain(0, 9, 0), plain(40, 0, 0), plain(80, 0, 0)], mean_colour)
    assert real.nearest(torch.tensor([0.5, 0, 0])[None, :, None, None].expand(1, 3, 2, 2)).max() == 40 / 255


def test_a_step_in_bf16_finds_the_same():
    """(200, 100, 0) and (201, 100, 0) have directions whose product with either is 1 to five digits; bf16 has three."""
    real = RealPatches([plain(200, 100, 0), plain(201, 100, 0)], lambda patches: mean_colour(patches) @ torch.eye(3))
    asked = plain(201, 100, 0)[None] / 255
    known = real.features(asked)
    with torch.autocast("cpu", torch.bfloat16):
        assert real.features(asked).dtype == torch.float32 and torch.equal(real.features(asked), known)
        assert real.nearest(asked)[0, 0, 0, 0] == 201 / 255
        assert real.nearest(asked.bfloat16()).dtype == torch.bfloat16


def test_known_patches_are_encoded_once_and_no_gradient_flows():
    seen = []

    def encode(patches):
        seen.append(len(patches))
        return mean_colour(patches)

    real = RealPatches([plain(value, 1, 2) for value in range(AT_ONCE + 3)], encode)
    assert seen == [AT_ONCE, 3]
    found = real.nearest(torch.rand(2, 3, 2, 2, requires_grad=True))
    assert seen == [AT_ONCE, 3, 2] and not found.requires_grad


def test_refuses_to_choose_from_nothing():
    with pytest.raises(ValueError, match="no real patches"):
        RealPatches([], mean_colour)
