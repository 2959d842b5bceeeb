"""torchvision's networks: sizes to the digit, torchvision's own names, and the same answers as its own forward."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.models import _utils, segmentation
from torchvision.models.segmentation.deeplabv3 import ASPP
from torchvision.models.segmentation.fcn import FCNHead

from segment.networks.torchvision_networks import DeepLabV3, deeplabv3_resnet101, lraspp
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


def narrow_backbone(auxiliary):
    """Two stages of the names that matter, at 1/8."""
    layer3 = nn.Sequential(nn.Conv2d(3, 32, 9, stride=8, padding=4, bias=False), nn.BatchNorm2d(32), nn.ReLU())
    layer4 = nn.Sequential(nn.Conv2d(32, 8, 3, padding=2, dilation=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    stages = nn.Sequential(OrderedDict(layer3=layer3, layer4=layer4))
    return _utils.IntermediateLayerGetter(stages, {"layer4": "out"} | ({"layer3": "aux"} if auxiliary else {}))


def narrow_deeplabv3(auxiliary=True):
    head = nn.Sequential(
        ASPP(8, (2, 4, 6), out_channels=8),
        nn.Conv2d(8, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, NUM_CLASSES, 1),
    )
    return DeepLabV3(narrow_backbone(auxiliary), head, FCNHead(32, NUM_CLASSES) if auxiliary else None)


class TestDeepLabV3(NetworkTester):
    """Sizes: torchvision's model, counted."""

    name = "deeplabv3_resnet101"
    parameters = (60_995_174, 58_630_483)
    state_dict_keys = (676, 668)
    gigaflops = (964.620, 3858.476)

    def narrow(self, auxiliary=True):
        return narrow_deeplabv3(auxiliary)

    @pytest.mark.parametrize("auxiliary", [True, False])
    def test_keys_are_those_of_torchvision(self, auxiliary):
        with torch.device("meta"):
            model = segmentation.deeplabv3_resnet101(
                weights=None, weights_backbone=None, num_classes=19, aux_loss=auxiliary
            )
        assert list(self.published(auxiliary).state_dict()) == list(model.state_dict())

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"DeepLabV3 .* batch of 1: .* Raise the batch size to 2 or more"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_a_batch_of_one_may_train_with_frozen_statistics(self, network):
        network.train()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        assert network(torch.rand(1, 3, 64, 64)).main.isfinite().all()

    def test_it_answers_as_torchvision_does(self, network):
        image = torch.rand(1, 3, 64, 64)
        model = segmentation.DeepLabV3(network.backbone, network.get_submodule("classifier"), None).eval()
        normalised = (image - network.image_mean) / network.image_std
        torch.testing.assert_close(network.eval()(image), model(normalised)["out"])


class TestLRASPP(NetworkTester):
    """Sizes: torchvision's model, counted. It is small enough to be its own narrow form."""

    name = "lraspp"
    parameters = (3_221_198, 3_221_198)
    state_dict_keys = (319, 319)
    gigaflops = (7.890, 31.550)
    auxiliary_heads = 0

    def narrow(self, auxiliary=True):
        return lraspp(NUM_CLASSES, auxiliary)

    def test_keys_are_those_of_torchvision(self):
        with torch.device("meta"):
            model = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=19)
        assert list(self.published(True).state_dict()) == list(model.state_dict())

    def test_it_answers_as_torchvision_does(self, network):
        image = torch.rand(1, 3, 64, 96)
        model = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=NUM_CLASSES)
        model.load_state_dict(network.state_dict())
        normalised = (image - network.image_mean) / network.image_std
        torch.testing.assert_close(network.eval()(image), model.eval()(normalised)["out"])


def test_nothing_is_downloaded(monkeypatch):
    """torchvision fetches weights through this function; a network built here never calls it."""
    called = []
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **kwargs: called.append(args))
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", torch.hub.load_state_dict_from_url)
    with torch.device("meta"):
        deeplabv3_resnet101(), lraspp()
    assert called == []
