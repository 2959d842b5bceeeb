"""The choice of networks by name, and the names of both directions."""

from typing import get_args

import pytest

from translate.choices import SIDE_MULTIPLES, Direction, chosen
from translate.methods.cyclegan import CycleGAN, CycleGANSettings
from translate.networks import DISCRIMINATORS, GENERATORS


def test_finds_what_there_is():
    assert chosen(GENERATORS, "resnet9") is GENERATORS["resnet9"]
    assert chosen(DISCRIMINATORS, "patch") is DISCRIMINATORS["patch"]


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(ValueError, match="no network 'unet'; the valid names are pyramid, resnet6, resnet9"):
        chosen(GENERATORS, "unet")


def test_cyclegan_learns_all_directions_that_there_are():
    settings = CycleGANSettings(generator="resnet6", generator_channels=1)
    assert CycleGAN.translator(settings).directions == get_args(Direction) == ("source_to_target", "target_to_source")


def test_a_name_that_is_none_is_called_what_it_should_be():
    with pytest.raises(ValueError, match=r"^There is no loss 'hinge'; the valid names are lsgan, wgan\.$"):
        chosen({"wgan": 1, "lsgan": 2}, "hinge", "loss")


def test_the_multiples_that_crops_are_checked_by_are_the_generators():
    found = {name: make(base_channels=2).side_multiple for name, make in GENERATORS.items()}
    assert found == SIDE_MULTIPLES
