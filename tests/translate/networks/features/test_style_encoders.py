"""Encoders that see content and style: whose layers they hand out, what they take, frozen whatever happens."""

import pytest
import torch
import torchvision

from segment.networks.encoders.efficientnet_lite import EfficientNetLiteClassifier
from translate.networks.features.style_encoders import ENCODERS, efficientnet_lite0, vgg19
from translate.value_range import to_signed


@pytest.mark.parametrize("name", ENCODERS)
def test_maps_have_the_channels_and_halvings_that_it_says(name):
    torch.manual_seed(0)
    encoder = ENCODERS[name](None)
    maps = encoder(torch.rand(2, 3, 32, 48) * 2 - 1)
    expected = [
        (2, channels, 32 // 2**halvings, 48 // 2**halvings)
        for channels, halvings in zip(encoder.channels, encoder.halvings, strict=True)
    ]
    assert [tuple(one.shape) for one in maps] == expected
    assert encoder.halvings[-1] == 3, "the settings' check of crops counts on it"
    assert all(one.std() > 1e-3 for one in maps), "random weights keep features from vanishing"


@pytest.mark.parametrize("name", ENCODERS)
def test_it_never_learns(name):
    encoder = ENCODERS[name](None).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("name", ENCODERS)
def test_weights_of_another_network_are_refused(name):
    with pytest.raises(ValueError, match="These are no weights of"):
        ENCODERS[name]({"model.1.weight": torch.zeros(1)})


def test_vgg19_is_torchvisions_up_to_relu4_1():
    """Its layers 1, 6, 11 and 20, of an image that is normalised by ImageNet's statistics."""
    torch.manual_seed(0)
    theirs = torchvision.models.vgg19().features[:21].eval()
    weights = {f"features.{key}": value for key, value in theirs.state_dict().items()}
    image = torch.rand(1, 3, 16, 24)
    normalised = torchvision.transforms.functional.normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        maps = vgg19(weights | {"features.28.bias": torch.zeros(512), "classifier.0.bias": torch.zeros(4)})(
            to_signed(image)
        )
        expected = [theirs[: place + 1](normalised) for place in (1, 6, 11, 20)]
    for own, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(own, other, atol=1e-5, rtol=1e-4)


def test_efficientnet_lite_is_the_classifiers_as_far_as_an_eighth():
    torch.manual_seed(0)
    theirs, image = EfficientNetLiteClassifier(0).eval(), torch.rand(1, 3, 32, 64)
    with torch.no_grad():
        maps = efficientnet_lite0(theirs.state_dict())(to_signed(image))
        expected = theirs(theirs.normalised(image))[:3]
    assert len(maps) == 3
    for own, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(own, other, atol=1e-6, rtol=1e-3)
