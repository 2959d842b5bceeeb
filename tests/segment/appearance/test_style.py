"""Style transfer: the looks change as the papers say, the shapes and the margin do not."""

import numpy as np
import pytest
import torch
from skimage.exposure import match_histograms

from segment.appearance.lab import rgb_to_lab
from segment.appearance.style import transfer_amplitude, transfer_colour, transfer_histogram


def picture(seed, low=0.2, high=0.6, size=(24, 40), number=2):
    torch.manual_seed(seed)
    return torch.rand(number, 3, *size) * (high - low) + low


def test_colours_get_the_mean_and_deviation_of_the_style():
    image, style = picture(0, 0.4, 0.6), picture(1, 0.3, 0.7)
    lab, wanted = rgb_to_lab(transfer_colour(image, style)), rgb_to_lab(style)
    torch.testing.assert_close(lab.mean((2, 3)), wanted.mean((2, 3)), atol=0.5, rtol=0)
    torch.testing.assert_close(lab.std((2, 3)), wanted.std((2, 3)), atol=0.5, rtol=0)


def test_an_even_grey_becomes_the_even_colour_of_the_style():
    style = torch.tensor([0.7, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 6, 6)
    result = transfer_colour(torch.full((1, 3, 4, 5), 0.5), style)
    torch.testing.assert_close(result, style[..., :4, :5], atol=2e-3, rtol=0)


@pytest.mark.parametrize("transfer", [transfer_colour, transfer_amplitude])
def test_its_own_style_changes_nothing(transfer):
    image = picture(0)
    torch.testing.assert_close(transfer(image, image), image, atol=2e-3, rtol=0)


@pytest.mark.parametrize("transfer", [transfer_colour, transfer_amplitude])
def test_the_margin_stays_and_has_no_share(transfer):
    """Whether the margin is black or white, all else comes out the same."""
    image, style = picture(0), picture(1, 0.5, 0.9)
    counted = torch.ones(2, 24, 40, dtype=torch.bool)
    counted[:, 16:] = False
    black, white = image.clone(), image.clone()
    black[:, :, 16:], white[:, :, 16:] = 0, 1
    first, second = transfer(black, style, counted=counted), transfer(white, style, counted=counted)
    torch.testing.assert_close(first[:, :, :16], second[:, :, :16])
    assert (first[:, :, 16:] == 0).all() and (second[:, :, 16:] == 1).all()
    assert (first[:, :, :16] - black[:, :, :16]).abs().max() > 0.05


def test_each_image_takes_the_looks_of_its_own_style():
    image, style = picture(0), picture(1, 0.5, 0.9)
    for transfer in (transfer_colour, transfer_amplitude):
        alone = torch.cat([transfer(image[k : k + 1], style[k : k + 1]) for k in range(2)])
        torch.testing.assert_close(transfer(image, style), alone)


def test_at_window_zero_the_mean_brightness_is_exchanged():
    image, style = picture(0, 0.3, 0.5), picture(1, 0.4, 0.6)
    shift = style.mean((2, 3), keepdim=True) - image.mean((2, 3), keepdim=True)
    torch.testing.assert_close(transfer_amplitude(image, style, 0.0), image + shift, atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", [0.01, 0.05, 0.09, 0.2])
def test_the_window_is_the_one_of_the_paper(window):
    """Spelt out on the whole, centred spectrum: a square of 2 b + 1 frequencies, b the floor of beta times a side."""
    image, style = picture(0, size=(30, 41)), picture(1, size=(30, 41))
    own, other = (torch.fft.fftshift(torch.fft.fft2(one), dim=(2, 3)) for one in (image, style))
    amplitude, reach = own.abs(), int(30 * window)
    square = (..., slice(15 - reach, 15 + reach + 1), slice(20 - reach, 20 + reach + 1))
    amplitude[square] = other.abs()[square]
    expected = torch.fft.ifft2(torch.fft.ifftshift(torch.polar(amplitude, own.angle()), dim=(2, 3))).real
    torch.testing.assert_close(transfer_amplitude(image, style, window), expected.clamp(0, 1), atol=1e-5, rtol=0)


def test_a_style_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"style \(2, 3, 8, 8\); bring both to one size"):
        transfer_amplitude(picture(0), picture(0, size=(8, 8)))
    assert transfer_colour(picture(0), picture(0, size=(8, 8))).shape == (2, 3, 24, 40)


def test_a_histogram_by_hand():
    """Levels 0 and 100, half each, take the ranks 1/2 and 1: in a style of 51, 102, 102, 255 they become 76.5 and 255.

    The style's ranks are 1/4 at 51, 3/4 at 102 and 1 at 255; a rank of 1/2 lies half way from 51 to 102.
    """
    image = torch.tensor([0, 100, 0, 100]).view(1, 1, 1, 4).expand(1, 3, 1, 4) / 255
    style = torch.tensor([51, 102, 102, 255]).view(1, 1, 2, 2).expand(1, 3, 2, 2) / 255
    matched = 255 * transfer_histogram(image, style)[0, 0, 0]
    torch.testing.assert_close(matched, torch.tensor([76.5, 255.0, 76.5, 255.0]))


def test_histograms_as_scikit_image_has_them():
    random = np.random.default_rng(0)
    image = random.integers(0, 200, (2, 24, 32, 3), np.uint8)
    style = (random.random((2, 20, 28, 3)) ** 2 * 255).astype(np.uint8)
    found = 255 * transfer_histogram(as_batch(image), as_batch(style))
    for i in range(2):
        expected = match_histograms(image[i].astype(float), style[i].astype(float), channel_axis=-1)
        np.testing.assert_allclose(found[i].permute(1, 2, 0).numpy(), expected, atol=1e-2)


def as_batch(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def test_a_histogram_leaves_what_does_not_count_and_counts_it_not():
    image = torch.rand(1, 3, 8, 8)
    counted = torch.ones(1, 8, 8, dtype=torch.bool)
    counted[:, :, 4:] = False
    style = torch.rand(1, 3, 8, 8)
    matched = transfer_histogram(image, style, counted)
    assert torch.equal(matched[..., 4:], image[..., 4:])
    torch.testing.assert_close(matched[..., :4], transfer_histogram(image[..., :4], style))
