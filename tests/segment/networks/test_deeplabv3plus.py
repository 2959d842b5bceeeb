"""DeepLabV3+ with WideResNet-38: our own count of its size, NVIDIA's names, and how its features come about."""

import pytest
import torch

from segment.networks.deeplabv3plus import DeepLabV3Plus
from segment.networks.encoders.wide_resnet38 import wide_resnet38_features
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class TestDeepLabV3Plus(NetworkTester):
    """Sizes: our own code, counted; papers give 137.1 M parameters."""

    name = "deeplabv3plus_wrn38"
    parameters = (137_103_936, 137_103_936)
    state_dict_keys = (268, 268)
    gigaflops = (2912.393, 11649.564)
    auxiliary_heads = 0

    def narrow(self, auxiliary=True):
        return DeepLabV3Plus(NUM_CLASSES, width=2, planes=8, fine_planes=4)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("mod1.conv1.weight", (64, 3, 3, 3)),
            ("mod2.block1.bn1.0.running_mean", (64,)),
            ("mod2.block1.proj_conv.weight", (128, 64, 1, 1)),
            ("mod2.block3.convs.conv2.weight", (128, 128, 3, 3)),
            ("mod4.block6.convs.bn2.0.weight", (512,)),
            ("mod5.block1.convs.conv2.weight", (1024, 512, 3, 3)),
            ("mod6.block1.convs.conv3.weight", (2048, 1024, 1, 1)),
            ("mod7.block1.convs.bn3.0.bias", (2048,)),
            ("mod7.block1.proj_conv.weight", (4096, 2048, 1, 1)),
            ("aspp.features.0.0.weight", (256, 4096, 1, 1)),
            ("aspp.features.3.1.running_var", (256,)),
            ("aspp.img_conv.0.weight", (256, 4096, 1, 1)),
            ("bot_fine.weight", (48, 128, 1, 1)),
            ("bot_aspp.weight", (256, 1280, 1, 1)),
            ("final.0.weight", (256, 304, 3, 3)),
            ("final.6.weight", (19, 256, 1, 1)),
        ],
    )
    def test_keys_are_those_of_nvidia(self, key, shape):
        assert self.published(True).state_dict()[key].shape == shape

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"DeepLabV3Plus .* batch of 1: .* Raise the batch size to 2 or more"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_features_are_at_a_half_and_an_eighth(self, network):
        with torch.no_grad():
            fine, deep = wide_resnet38_features(network.eval(), torch.rand(1, 3, 40, 64))
        assert fine.shape == (1, 4, 20, 32)
        assert deep.shape == (1, 128, 5, 8)
