"""Every encoder by name: five maps of the widths that it says, the last of them that of the submodule it names."""

import pytest
import torch
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter

from segment.networks.encoders import ENCODERS
from segment.networks.encoders.encoder import STRIDES
from segment.networks.encoders.published import STDC, MobileNetV3, ResNet
from segment.networks.stdc import STDCNet


@pytest.mark.parametrize("name", ENCODERS)
def test_five_maps_of_the_widths_that_it_says(name):
    with torch.device("meta"):
        encoder, image = ENCODERS[name]().eval(), torch.zeros(1, 3, 64, 96)
    deepest = []
    encoder.get_submodule(encoder.deepest).register_forward_hook(lambda module, inputs, output: deepest.append(output))
    maps = encoder(image)
    expected = [(1, c, 64 // stride, 96 // stride) for c, stride in zip(encoder.channels, STRIDES, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected
    assert deepest[0] is maps[-1]


def test_a_resnet_answers_as_torchvisions():
    torch.manual_seed(0)
    whole, image = models.resnet18(weights=None).eval(), torch.rand(1, 3, 40, 56)
    stages = {"relu": "0", "layer1": "1", "layer2": "2", "layer3": "3", "layer4": "4"}
    expected = list(IntermediateLayerGetter(whole, stages)(image).values())
    for ours, theirs in zip(ResNet(whole)(image), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("build", ["resnet18", "resnet50", "resnet101"])
def test_a_resnet_has_torchvisions_keys_but_for_the_classifier(build):
    with torch.device("meta"):
        theirs = getattr(models, build)(weights=None).state_dict()
        ours = ENCODERS[build]().state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items() if not k.startswith("fc.")}


def test_mobilenet_answers_as_torchvisions():
    torch.manual_seed(0)
    whole, image = models.mobilenet_v3_large(weights=None).eval(), torch.rand(1, 3, 40, 56)
    torch.testing.assert_close(MobileNetV3(whole)(image)[-1], whole.features(image))
    torch.testing.assert_close(MobileNetV3(whole)(image)[2], whole.features[:7](image))
    assert {k for k in whole.state_dict() if not k.startswith("classifier.")} == MobileNetV3(whole).state_dict().keys()


def test_stdc_answers_as_within_its_own_network():
    torch.manual_seed(0)
    encoder = STDC(8, (2, 2, 2)).eval()
    within = STDCNet(8, (2, 2, 2)).eval()
    within.features.load_state_dict(encoder.features.state_dict())
    image = torch.rand(1, 3, 64, 96)
    for ours, theirs in zip(encoder(image)[2:], within(image), strict=True):
        torch.testing.assert_close(ours, theirs)
