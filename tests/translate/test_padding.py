"""Padding to the sizes a network takes."""

import pytest
import torch

from translate.padding import check_sides, pad_to_multiple


def row(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_mirrors_at_the_right():
    assert pad_to_multiple(row(1, 2, 3, 4, 5, 6), 4)[0, 0, 0].tolist() == [1, 2, 3, 4, 5, 6, 5, 4]


def test_repeats_where_there_is_too_little_to_mirror():
    """The last pixel is not repeated by a mirror, so that of two there is one to mirror."""
    assert pad_to_multiple(row(1, 2), 4)[0, 0, 0].tolist() == [1, 2, 2, 2]
    assert pad_to_multiple(row(1, 2).mT, 4)[0, 0, :, 0].tolist() == [1, 2, 2, 2]


def test_pads_both_sides():
    image = torch.rand(2, 3, 61, 127)
    padded = pad_to_multiple(image, 4)
    assert padded.shape == (2, 3, 64, 128)
    assert torch.equal(padded[..., :61, :127], image)


def test_reaches_the_smallest_side():
    assert pad_to_multiple(torch.rand(1, 3, 1, 5), 4, smallest=8).shape == (1, 3, 8, 8)
    assert pad_to_multiple(torch.rand(1, 3, 5, 5), 4, smallest=9).shape == (1, 3, 12, 12)


def test_leaves_alone_what_fits():
    image = torch.rand(1, 3, 64, 8)
    assert pad_to_multiple(image, 4, smallest=8) is image


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 3, 0, 8)])
def test_refuses_what_is_no_batch_of_images(shape):
    with pytest.raises(ValueError, match="at least one pixel"):
        pad_to_multiple(torch.zeros(shape), 4)


@pytest.mark.parametrize(("height", "width"), [(12, 16), (16, 20), (8, 16)])
def test_sides_that_do_not_divide_or_are_too_small_are_refused(height, width):
    check_sides(torch.zeros(1, 3, 16, 24), multiple=8, smallest=16)
    said = rf"^Layout is {width}x{height}; sides must divide by 8 and be at least 16\. Pad it with"
    with pytest.raises(ValueError, match=said):
        check_sides(torch.zeros(1, 3, height, width), 8, 16, "Layout")
