"""The second classifier: built like the first, drawn anew, leaving the network what it is; for every network."""

import pytest
import torch
from torch import nn

from segment.networks import NETWORKS
from segment.networks.deeplabv2 import DeepLabV2
from segment.networks.multiscale_attention import HierarchicalAttention
from segment.networks.second_classifier import SecondClassifier, classifying_weights, draw_anew
from tests.segment.methods.tester import TinySegmenter


def test_weights_are_others_of_the_same_size():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.Conv2d(64, 3, 1))
    nn.init.normal_(module[0].weight, 0, 0.01)
    nn.init.zeros_(module[2].bias)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    draw_anew(module)
    # 4608 values: their root mean square is within 5 % of that of the distribution, 0.01, but for one in a million.
    assert module[0].weight.square().mean().sqrt().item() == pytest.approx(0.01, rel=0.1)
    assert not torch.equal(module[0].weight, before["0.weight"])
    assert torch.equal(module[2].bias, torch.zeros(3)), "what was drawn as zero stays zero"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items() if name.startswith("1."))


def test_the_network_stays_what_it_is():
    network = TinySegmenter()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    SecondClassifier(network)
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_classifying_weights_are_those_that_are_trained_and_not_of_normalisation():
    classifier = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1))
    classifier[2].requires_grad_(False)
    weights = classifying_weights(classifier)
    assert weights.shape == (4 * 3 + 3,) and weights.requires_grad


def test_branches_that_take_no_part_are_not_compared():
    """Two of AdaptSegNet's four dilated branches are summed: 2 x (9 x 32 x 3 + 3) values of its 4."""
    network = DeepLabV2(3, planes=1, blocks=(1, 1, 1, 1))
    assert classifying_weights(SecondClassifier(network)).numel() == 2 * (9 * 32 * 3 + 3)


@pytest.mark.parametrize(
    "name", ["ddrnet23_slim", "bisenetv2", "pidnet_s", "ppliteseg_t", "stdc1", "lraspp", "fpn_efficientnet_lite0"]
)
def test_every_kind_of_network_gets_one(name):
    torch.manual_seed(0)
    network = NETWORKS[name](num_classes=3).train()
    image = torch.rand(2, 3, 40, 70)
    output, features = network.with_features(image)
    second = network.at_image_size(SecondClassifier(network).train()(features), 40, 70)
    assert second.shape == output.main.shape == (2, 3, 40, 70)


def test_one_of_several_scales_sees_the_largest_of_training():
    """In register too: the network inside pads by itself."""
    network = HierarchicalAttention(TinySegmenter(), features=8, planes=4).train()
    output, features = network.with_features(torch.rand(2, 3, 33, 41))
    second = network.at_image_size(SecondClassifier(network)(features), 33, 41)
    assert features.shape[-2:] == (17, 21) and second.shape == output.main.shape


@pytest.mark.parametrize("name", ["ddrnet23_slim", "ppliteseg_t", "fpn_efficientnet_lite0"])
def test_the_first_classifier_on_the_features_says_what_the_network_says(name):
    """Both outputs are brought to the image in the same way: in register, whatever is padded."""
    torch.manual_seed(0)
    network, image = NETWORKS[name](num_classes=3).eval(), torch.rand(1, 3, 40, 70)
    with torch.no_grad():
        logits, features = network.with_features(image)
        again = network.at_image_size(network.classifying_module()(features), 40, 70)
    torch.testing.assert_close(again, logits)
