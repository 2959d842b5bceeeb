"""Blurred halving and doubling: brightness stays, sizes fit, and a step is as smooth as the filter says."""

import pytest
import torch

from translate.networks.antialiasing import BlurredDoubling, BlurredHalving


@pytest.mark.parametrize("layer", [BlurredHalving, BlurredDoubling])
def test_a_plain_image_stays_plain(layer):
    assert torch.allclose(layer(2)(torch.full((1, 2, 6, 8), 0.7)), torch.tensor(0.7))


def test_sizes():
    image = torch.rand(1, 3, 6, 8)
    assert BlurredHalving(3)(image).shape == (1, 3, 3, 4)
    assert BlurredDoubling(3)(image).shape == (1, 3, 12, 16)
    assert BlurredHalving(3)(torch.rand(1, 3, 5, 7)).shape == (1, 3, 3, 4)


def test_halving_by_hand():
    row = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)
    # Mirrored: 0 | 0 0 1 1 | 1. At 0: (0 + 2*0 + 0)/4; at 2: (0 + 2*1 + 1)/4.
    assert BlurredHalving(1)(row)[0, 0, 0].tolist() == pytest.approx([0.0, 0.75])


def test_doubling_by_hand():
    row = torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2)
    # Repeated at the ends; each new pixel is 3/4 of the nearer and 1/4 of the farther old one.
    assert BlurredDoubling(1)(row)[0, 0, 0].tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])


def test_channels_do_not_mix():
    image = torch.zeros(1, 2, 4, 4)
    image[:, 0] = 1
    for layer in (BlurredHalving(2), BlurredDoubling(2)):
        assert layer(image)[:, 1].abs().max() == 0
