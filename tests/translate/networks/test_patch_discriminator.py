"""The patch discriminator against figures measured on the authors' own code."""

import pytest
import torch

from tests.translate.networks.receptive_field import receptive_field
from translate.networks import DISCRIMINATORS
from translate.networks.patch_discriminator import PatchDiscriminator


def test_has_the_authors_number_of_parameters():
    with torch.device("meta"):
        state = DISCRIMINATORS["patch"]().state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 2_764_737
    assert set(state) == {f"model.{layer}.{kind}" for layer in (0, 2, 5, 8, 11) for kind in ("weight", "bias")}


def test_five_layers_widen_to_eight_times_and_no_further():
    with torch.device("meta"):
        discriminator = PatchDiscriminator(layers=5)
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 11_154_369


@pytest.mark.parametrize(
    ("layers", "size", "expected"),
    [(3, (256, 256), (30, 30)), (3, (64, 128), (6, 14)), (3, (24, 24), (1, 1)), (5, (256, 256), (6, 6))],
)
def test_judges_each_patch_once(layers, size, expected):
    judgement = PatchDiscriminator(layers=layers, base_channels=2)(torch.zeros(2, 3, *size))
    assert judgement.shape == (2, 1, *expected)


@pytest.mark.parametrize(("layers", "expected"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_field(layers, expected):
    assert receptive_field(PatchDiscriminator(layers=layers, base_channels=1), side=2 * expected + 64) == expected


def test_judgements_are_not_bounded():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(layers=1, base_channels=4)
    with torch.no_grad():
        discriminator.model[-1].weight.mul_(1000)
    assert discriminator(torch.rand(1, 3, 32, 32)).abs().max() > 2


def test_gradient_reaches_image_and_weights():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(base_channels=2)
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    discriminator(image).square().sum().backward()
    assert image.grad.abs().sum() > 0
    weights = [parameter for name, parameter in discriminator.named_parameters() if name.endswith("weight")]
    assert all(weight.grad.abs().sum() > 0 for weight in weights)


def test_refuses_images_without_a_single_patch():
    with pytest.raises(ValueError, match=r"16x64.*at least 24.*larger crops or fewer layers"):
        PatchDiscriminator(base_channels=2)(torch.zeros(1, 3, 64, 16))


def test_refuses_to_have_no_layers():
    with pytest.raises(ValueError, match="at least 1 layer, not 0"):
        PatchDiscriminator(layers=0)
