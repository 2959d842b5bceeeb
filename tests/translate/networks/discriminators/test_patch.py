"""The patch discriminator against figures measured on the authors' own code."""

import pytest
import torch

from tests.translate.networks.discriminators.discriminator_tester import DiscriminatorTester
from tests.translate.networks.receptive_field import receptive_field
from translate.networks.discriminators.patch import PatchDiscriminator


def convolutions(*layers):
    return {f"model.{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}


def batch_norms(*layers):
    kinds = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"model.{layer}.{kind}" for layer in layers for kind in kinds}


class TestPatch(DiscriminatorTester):
    name = "patch"
    parameters = 2_764_737
    names = convolutions(0, 2, 5, 8, 11)
    judgements = (30, 30)


class TestPatchOfPix2pix(DiscriminatorTester):
    """Judges an image beside what it was made of; its convolutions leave the bias to the batch norms."""

    name = "patch"
    settings = {"in_channels": 6, "norm": "batch"}  # noqa: RUF012
    parameters = 2_768_705
    names = convolutions(0, 11) | {f"model.{layer}.weight" for layer in (2, 5, 8)} | batch_norms(3, 6, 9)
    judgements = (30, 30)


class TestPatchOfCUT(DiscriminatorTester):
    """Convolves without halving, as often as it halves, and has a filter after each: no more to learn."""

    name = "patch"
    settings = {"antialias": True}  # noqa: RUF012
    parameters = 2_764_737
    names = convolutions(0, 3, 7, 11, 14) | {f"model.{layer}.filt" for layer in (2, 6, 10)}
    judgements = (30, 30)


class TestFiveLayers(DiscriminatorTester):
    """Widens to eight times the first layer and no further."""

    name = "patch"
    settings = {"layers": 5}  # noqa: RUF012
    parameters = 11_154_369
    names = convolutions(0, 2, 5, 8, 11, 14, 17)
    judgements = (6, 6)


@pytest.mark.parametrize(("size", "expected"), [((64, 128), (6, 14)), ((24, 24), (1, 1)), ((30, 47), (1, 3))])
def test_judges_each_patch_once(size, expected):
    judgement = PatchDiscriminator(base_channels=2)(torch.zeros(2, 3, *size))
    assert judgement.shape == (2, 1, *expected)
    blurred = PatchDiscriminator(base_channels=2, antialias=True)(torch.zeros(2, 3, *size))
    assert blurred.shape == judgement.shape


@pytest.mark.parametrize(("layers", "expected"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_receptive_field(layers, expected):
    assert receptive_field(PatchDiscriminator(layers=layers, base_channels=1), side=2 * expected + 64) == expected


@pytest.mark.parametrize(("layers", "expected"), [(1, 18), (2, 40), (3, 84)])
def test_receptive_field_with_blurs(layers, expected):
    """Backwards from one judgement: twice 4 wide, 7; then per halving twice less one plus 3, of the blur, plus 3."""
    judge = PatchDiscriminator(layers=layers, base_channels=1, antialias=True)
    assert receptive_field(judge, side=2 * expected + 64) == expected


def test_refuses_to_have_no_layers():
    with pytest.raises(ValueError, match="at least 1 layer, not 0"):
        PatchDiscriminator(layers=0)
