"""The light feature pyramid: its size on every encoder, its sums by hand, and that the encoder decides the input."""

import pytest
import torch
from torch import nn

from segment.complexity import count_flops, count_parameters
from segment.networks import NETWORKS
from segment.networks.encoders import ENCODERS, STDC
from segment.networks.encoders.efficientnet_lite import EfficientNetLite
from segment.networks.fpn import FPN, Fusion, GlobalContext
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class TestFPNOnEfficientNetLite(NetworkTester):
    """Sizes: our own count; the network is of this house."""

    name = "fpn_efficientnet_lite0"
    parameters = (3_218_374, 3_216_531)
    state_dict_keys = (341, 339)
    gigaflops = (10.372, 41.487)
    mean, white = (127 / 255,) * 3, (1.0, 1.0, 1.0)

    def narrow(self, auxiliary=True):
        return FPN(NUM_CLASSES, EfficientNetLite(0, width=0.25), width=8, auxiliary=auxiliary)


class TestFPNOnSTDC(NetworkTester):
    name = "fpn_stdc1"
    parameters = (5_775_974, 5_774_131)
    state_dict_keys = (227, 225)
    gigaflops = (19.314, 77.257)

    def narrow(self, auxiliary=True):
        return FPN(NUM_CLASSES, STDC(8, (2, 2, 2)), width=8, auxiliary=auxiliary)


@pytest.mark.parametrize(
    ("encoder", "parameters", "gigaflops"),
    [
        ("efficientnet_lite1", 3_981_203, 12.823),
        ("efficientnet_lite2", 4_623_315, 14.347),
        ("resnet18", 11_497_171, 41.134),
        ("resnet50", 24_252_627, 90.912),
        ("resnet101", 43_244_755, 168.490),
        ("mobilenet_v3_large", 3_352_515, 7.277),
        ("stdc2", 9_804_595, 32.501),
    ],
)
def test_the_size_on_the_other_encoders(encoder, parameters, gigaflops):
    with torch.device("meta"):
        network = NETWORKS[f"fpn_{encoder}"](auxiliary=False)
    assert count_parameters(network) == parameters
    assert count_flops(network, (512, 1024)) / 1e9 == pytest.approx(gigaflops, abs=5e-4)


def test_there_is_one_on_every_encoder():
    assert {f"fpn_{encoder}" for encoder in ENCODERS} == {name for name in NETWORKS if name.startswith("fpn_")}


def ones(module):
    """Convolutions that add up what they see."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.ones_(part.weight)
    return module.eval()


def test_context_adds_the_mean_of_the_whole_map_at_every_place():
    x = torch.tensor([[1.0, 2.0], [4.0, 9.0]]).expand(1, 1, 2, 2)
    # The mean is 4; its normalisation divides by the root of 1 + 1e-5.
    expected = torch.tensor([[5.0, 6.0], [8.0, 13.0]])
    torch.testing.assert_close(ones(GlobalContext(1, 1))(x)[0, 0], expected, rtol=1e-4, atol=0)


def test_fusion_adds_the_coarse_map_at_the_size_of_the_fine_one():
    coarse, fine = torch.full((1, 1, 1, 2), 3.0), torch.arange(8.0).view(1, 1, 2, 4)
    fused = ones(Fusion(1, 1, nn.Identity()))(coarse, fine)
    torch.testing.assert_close(fused, fine + 3, rtol=1e-4, atol=1e-6)


def test_training_on_a_batch_of_one_is_possible():
    network = TestFPNOnEfficientNetLite().narrow().train()
    assert network(torch.rand(1, 3, 64, 64)).main.isfinite().all()


def test_the_features_that_are_classified_are_at_a_quarter_of_the_size():
    network = TestFPNOnEfficientNetLite().narrow().eval()
    _, features = network.with_features(torch.rand(1, 3, 64, 96))
    assert features.shape == (1, 8, 16, 24)
    _, deepest = network.with_encoder_features(torch.rand(1, 3, 64, 96))
    assert deepest.shape == (1, network.backbone.channels[-1], 2, 3)


def test_it_is_exported_as_one_graph():
    network, image = TestFPNOnEfficientNetLite().narrow().eval(), torch.rand(1, 3, 64, 96)
    exported = torch.export.export(network, (image,)).module()
    torch.testing.assert_close(exported(image), network(image))
