"""sRGB to L*a*b* and back, against scikit-image."""

import torch
from skimage.color import lab2rgb, rgb2lab

from segment.appearance.lab import lab_to_rgb, rgb_to_lab


def colours():
    """A cube of 9 x 9 x 9 colours as an image (1, 3, 27, 27)."""
    axis = torch.linspace(0, 1, 9)
    return torch.cartesian_prod(axis, axis, axis).T.reshape(1, 3, 27, 27).contiguous()


def test_colours_known_by_heart():
    white, black, red = (torch.tensor(c).view(1, 3, 1, 1).float() for c in ((1, 1, 1), (0, 0, 0), (1, 0, 0)))
    torch.testing.assert_close(rgb_to_lab(white).flatten(), torch.tensor([100.0, 0, 0]), atol=0.01, rtol=0)
    torch.testing.assert_close(rgb_to_lab(black).flatten(), torch.zeros(3), atol=0.01, rtol=0)
    torch.testing.assert_close(rgb_to_lab(red).flatten(), torch.tensor([53.24, 80.09, 67.20]), atol=0.02, rtol=0)


def test_both_ways_as_in_scikit_image():
    image = colours()
    theirs = rgb2lab(image[0].permute(1, 2, 0).numpy())
    ours = rgb_to_lab(image)
    torch.testing.assert_close(ours[0].permute(1, 2, 0), torch.from_numpy(theirs), atol=0.01, rtol=0)
    back = torch.from_numpy(lab2rgb(theirs)).float()
    torch.testing.assert_close(lab_to_rgb(ours)[0].permute(1, 2, 0), back, atol=2e-3, rtol=0)


def test_there_and_back_is_the_same_picture():
    torch.testing.assert_close(lab_to_rgb(rgb_to_lab(colours())), colours(), atol=1e-3, rtol=0)


def test_colours_beyond_srgb_are_clipped():
    vivid = torch.tensor([50.0, 120.0, -120.0]).view(1, 3, 1, 1)
    image = lab_to_rgb(vivid)
    assert image.isfinite().all() and image.min() == 0 and image.max() <= 1
