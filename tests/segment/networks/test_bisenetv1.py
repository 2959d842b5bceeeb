"""BiSeNetV1: its size to the digit, its key names, what its gates compute, and what it says to a batch of one."""

import math

import pytest
import torch

from segment.networks.bisenetv1 import AttentionRefinement, BiSeNetV1, ContextPath, FeatureFusion
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class TestBiSeNetV1(NetworkTester):
    """Sizes: CoinCheung's code, counted."""

    name = "bisenetv1"
    parameters = (13_425_721, 13_275_539)
    state_dict_keys = (222, 206)
    gigaflops = (59.169, 236.677)
    auxiliary_heads = 2

    def narrow(self, auxiliary=True):
        return BiSeNetV1(NUM_CLASSES, planes=4, auxiliary=auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("cp.resnet.conv1.weight", (64, 3, 7, 7)),
            ("cp.resnet.layer1.0.conv1.weight", (64, 64, 3, 3)),
            ("cp.resnet.layer2.0.downsample.1.running_mean", (128,)),
            ("cp.resnet.layer4.1.bn2.bias", (512,)),
            ("cp.arm16.conv.conv.weight", (128, 256, 3, 3)),
            ("cp.arm32.conv_atten.weight", (128, 128, 1, 1)),
            ("cp.arm32.bn_atten.weight", (128,)),
            ("cp.conv_head16.bn.bias", (128,)),
            ("cp.conv_avg.conv.weight", (128, 512, 1, 1)),
            ("sp.conv1.conv.weight", (64, 3, 7, 7)),
            ("sp.conv_out.bn.weight", (128,)),
            ("ffm.convblk.conv.weight", (256, 256, 1, 1)),
            ("ffm.bn.running_var", (256,)),
            ("conv_out.conv.conv.weight", (256, 256, 3, 3)),
            ("conv_out.conv_out.bias", (19,)),
            ("conv_out16.conv_out.weight", (19, 64, 1, 1)),
            ("conv_out32.conv.bn.weight", (64,)),
        ],
    )
    def test_keys_are_those_of_coincheung(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"BiSeNetV1 cannot train on a batch of 1: .* Raise the batch size to 2"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_the_encoder_bears_the_names_of_torchvision(self):
        models = pytest.importorskip("torchvision").models
        with torch.device("meta"):
            theirs = {key: value.shape for key, value in models.resnet18(weights=None).state_dict().items()}
        ours = {key: value.shape for key, value in self.published(auxiliary=True).cp.resnet.state_dict().items()}
        assert ours == {key: shape for key, shape in theirs.items() if not key.startswith("fc.")}


# --- gates -----------------------------------------------------------------------------------------------------------


def identity_convs(module):
    """Every convolution hands its input on, and no normalisation changes it (but for its epsilon of 1e-5)."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.dirac_(layer.weight, layer.groups)
    return module.eval()


# Mean log 3 over the map: the gate is sigmoid(log 3) = 3/4.
UNEVEN = torch.tensor([0.0, 2 * math.log(3)]).view(1, 1, 1, 2)


def test_attention_refinement_weighs_a_channel_by_its_mean():
    refined = identity_convs(AttentionRefinement(1, 1))(UNEVEN).flatten().tolist()
    assert refined == pytest.approx([0, 0.75 * 2 * math.log(3)], rel=1e-4)


def test_feature_fusion_adds_the_weighed_features_to_themselves():
    # Two channels, detail and context: the second has a mean of zero, so its gate is 1/2.
    context = torch.zeros(1, 1, 1, 2)
    fused = identity_convs(FeatureFusion(2, 2))(UNEVEN, context)
    assert fused[0, 0].flatten().tolist() == pytest.approx([0, 1.75 * 2 * math.log(3)], rel=1e-4)
    assert fused[0, 1].abs().max() == 0


def test_the_context_path_doubles_its_size_twice():
    path = ContextPath()
    path.add_refinement(middle=3, deep=5, width=2)
    path.eval()
    early, late = path.refine(torch.rand(1, 3, 4, 6), torch.rand(1, 5, 2, 3))
    assert (early.shape, late.shape) == ((1, 2, 8, 12), (1, 2, 4, 6))
