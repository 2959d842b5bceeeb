"""A published generator translates as it is: one way or both, of any architecture that is published, never trained."""

import pytest
import torch

from segment.methods.method import Method
from translate.methods import METHODS, TRANSLATORS
from translate.methods.published import Published, PublishedSettings


def tiny(*directions, **settings):
    torch.manual_seed(0)
    small = {"generator": "resnet6", "generator_channels": 2, "directions": directions or ("source_to_target",)}
    return Published(PublishedSettings(**small | settings)).eval()


def test_is_found_by_name_and_cannot_be_trained():
    assert TRANSLATORS["published"] is Published and "published" not in METHODS
    assert not isinstance(tiny(), Method)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"antialias": True},
        {"antialias": True, "antialias_at": "halving"},
        {"antialias": True, "antialias_at": "doubling"},
        {"norm": "batch"},
        {"generator": "unet128"},
        {"generator": "global", "blocks": 1},
    ],
)
def test_translates_any_size(settings):
    image = torch.rand(1, 3, 21, 35)
    translated = tiny(**settings).translate(image)
    assert translated.shape == image.shape and translated.min() >= 0 and translated.max() <= 1


def test_pix2pixhds_generator_of_images_has_its_own_halvings():
    assert tiny(generator="global", halvings=3, blocks=1).source_to_target.side_multiple == 8


def test_a_frames_own_statistics_keep_images_apart():
    method, images = tiny(norm="frame"), torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(method.translate(images)[1:], method.translate(images[1:]))


def test_each_direction_has_its_own_weights():
    both, image = tiny("source_to_target", "target_to_source"), torch.rand(1, 3, 16, 16)
    assert not torch.equal(both.translate(image), both.translate(image, "target_to_source"))
    with pytest.raises(ValueError, match="'source_to_target'; the valid ones are target_to_source"):
        tiny("target_to_source").translate(image)


def test_is_filled_from_its_own_state():
    settings = PublishedSettings("resnet6", ("target_to_source",), generator_channels=2)
    assert Published.kept(settings) == {"target_to_source": "target_to_source."}
    assert list(Published.translator(settings).state_dict()) == list(Published(settings).state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"directions": ()}, "directions is empty; a translator translates at least one way"),
        ({"generator": "resnet7"}, "no network 'resnet7'; the valid names are global, pyramid, resnet6"),
        ({"generator": "unet128", "antialias": True}, "antialias is for resnet6 and resnet9; the generator is unet128"),
        ({"generator": "global", "antialias": True}, "antialias is for resnet6 and resnet9; the generator is global"),
        ({"antialias_at": "halving"}, "antialias_at is halving, and antialias false; set antialias to true"),
        ({"generator": "global", "norm": "batch"}, 'norm is batch; the generator "global" has instance normalisation'),
        ({"halvings": 3}, 'halvings and blocks are for the generator "global"; the generator is resnet6'),
        ({"blocks": 6}, 'halvings and blocks are for the generator "global"; the generator is resnet6'),
        ({"norm": "layer"}, "norm is 'layer'; the valid values are instance, batch, frame"),
    ],
)
def test_refuses_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny(**settings)
