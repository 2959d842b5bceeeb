"""What CycleGAN and CUT share: networks by name, and which crops suit them."""

import pytest
import torch

from translate.methods.cut import CUTSettings
from translate.methods.cyclegan import CycleGANSettings
from translate.methods.unpaired_training import UnpairedTrainingSettings, make_discriminator, make_generator


def test_both_are_told_the_same_by_the_same_words():
    assert issubclass(CycleGANSettings, UnpairedTrainingSettings) and issubclass(CUTSettings, UnpairedTrainingSettings)
    assert CUTSettings().antialias and CUTSettings().initialisation == "xavier"  # all else as in CycleGAN
    assert not CycleGANSettings().antialias and CycleGANSettings().initialisation == "normal"


@pytest.mark.parametrize(
    "changes",
    [{}, {"antialias": True}, {"generator": "unet128"}, {"generator": "unet_light"}, {"generator": "pyramid"}],
)
def test_generators_keep_the_size(changes):
    settings = UnpairedTrainingSettings(**{"generator": "resnet6", "generator_channels": 1} | changes)
    assert make_generator(settings)(torch.rand(1, 3, 128, 128)).shape == (1, 3, 128, 128)


@pytest.mark.parametrize(("changes", "side"), [({"discriminator_layers": 1}, 14), ({"discriminator": "pixel"}, 32)])
def test_discriminators_judge_as_finely_as_they_are_told_to(changes, side):
    judge = make_discriminator(UnpairedTrainingSettings(discriminator_channels=1, **changes))
    assert judge(torch.rand(1, 3, 32, 32)).shape == (1, 1, side, side)


@pytest.mark.parametrize(
    ("settings", "crop", "message"),
    [
        ({"generator": "unet256"}, (256, 128), "crop is 128; unet256 takes multiples of 256"),
        ({"discriminator_layers": 5}, (96, 92), "crop is 92; a discriminator of 5 layers needs 96 or more"),
        ({"generator": "unet_light"}, (100, 96), "crop is 100; unet_light takes multiples of 8"),
        ({"generator": "pyramid"}, (96, 100), "crop is 100; pyramid takes multiples of 8"),
        ({}, (26, 26), "crop is 26; resnet9 takes multiples of 4"),
    ],
)
def test_crops_that_do_not_suit_the_networks_are_refused(settings, crop, message):
    with pytest.raises(ValueError, match=message):
        UnpairedTrainingSettings(**settings).check_crop(*crop)


def test_pixels_are_judged_in_crops_of_any_size():
    UnpairedTrainingSettings(discriminator="pixel", discriminator_layers=6).check_crop(24, 24)
    with pytest.raises(ValueError, match="crop is 24; a discriminator of 6 layers needs 192 or more"):
        UnpairedTrainingSettings(discriminator="patch", discriminator_layers=6).check_crop(24, 24)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"antialias": True, "generator": "unet128"}, "antialias is for resnet6 and resnet9; the generator is unet128"),
        ({"discriminator_layers": 0}, "discriminator_layers is 0; it must be at least 1"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        UnpairedTrainingSettings(**settings)
