"""The discriminator of label maps: sizes of the paper, the light form, and what is too small."""

import itertools

import pytest
import torch

from segment.networks.discriminators.output_discriminator import OutputDiscriminator


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_parameters_of_the_papers_form():
    """16 c_in c_out + c_out for each layer: 19-64-128-256-512-1."""
    widths = [19, 64, 128, 256, 512, 1]
    assert parameters(OutputDiscriminator(19)) == sum(16 * a * b + b for a, b in itertools.pairwise(widths))


def test_parameters_of_the_light_form():
    """16 c_in + c_in for the depthwise convolution, c_in c_out + c_out for the pointwise one."""
    widths = [19, 64, 128, 256, 512, 1]
    expected = sum(17 * a + a * b + b for a, b in itertools.pairwise(widths))
    assert parameters(OutputDiscriminator(19, light=True)) == expected


@pytest.mark.parametrize("light", [False, True])
def test_a_map_of_logits_a_thirty_second_of_the_size(light):
    judged = OutputDiscriminator(3, channels=4, light=light)(torch.rand(2, 3, 64, 96).softmax(1))
    assert judged.shape == (2, 1, 2, 3)


def test_maps_below_32_pixels_are_refused():
    with pytest.raises(ValueError, match=r"Maps are 64x16; .* 32x32 or more"):
        OutputDiscriminator(3)(torch.rand(1, 3, 16, 64))
