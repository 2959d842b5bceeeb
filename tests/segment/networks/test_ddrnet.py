"""DDRNet: its size to the digit, its key names, and what it says to a batch of one."""

import pytest
import torch

from segment.networks.ddrnet import DAPPM, DDRNet, DDRNet39, ddrnet23_slim, exchange
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class TestDDRNet23Slim(NetworkTester):
    """Sizes: the authors' code, counted."""

    name = "ddrnet23_slim"
    parameters = (5_734_342, 5_695_987)
    state_dict_keys = (346, 333)
    gigaflops = (18.141, 72.563)

    def narrow(self, auxiliary=True):
        return DDRNet(NUM_CLASSES, planes=8, pooling_planes=8, head_planes=8, auxiliary=auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("conv1.0.weight", (32, 3, 3, 3)),
            ("conv1.3.bias", (32,)),
            ("layer1.1.bn2.running_var", (32,)),
            ("layer2.0.downsample.1.weight", (64,)),
            ("layer3_.1.bn1.weight", (64,)),
            ("layer4.0.downsample.0.weight", (256, 128, 1, 1)),
            ("layer5.0.conv3.weight", (512, 256, 1, 1)),
            ("layer5_.0.downsample.0.weight", (128, 64, 1, 1)),
            ("compression4.0.weight", (64, 256, 1, 1)),
            ("down3.0.weight", (128, 64, 3, 3)),
            ("down4.3.weight", (256, 128, 3, 3)),
            ("spp.scale0.2.weight", (128, 512, 1, 1)),
            ("spp.scale4.1.running_mean", (512,)),
            ("spp.scale4.3.weight", (128, 512, 1, 1)),
            ("spp.process4.2.weight", (128, 128, 3, 3)),
            ("spp.compression.2.weight", (128, 640, 1, 1)),
            ("spp.shortcut.2.weight", (128, 512, 1, 1)),
            ("seghead_extra.conv1.weight", (64, 64, 3, 3)),
            ("final_layer.conv2.bias", (19,)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        with torch.device("meta"):
            assert ddrnet23_slim().state_dict()[key].shape == shape

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"batch of 1: .* Raise the batch size to 2 or more"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_a_batch_of_one_may_train_with_frozen_statistics(self, network):
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        assert network(torch.rand(1, 3, 64, 64)).main.isfinite().all()


class TestDDRNet23(NetworkTester):
    """Sizes: the authors' code, counted. The narrow form has wider heads, as the full network has."""

    name = "ddrnet23"
    parameters = (20_299_366, 20_148_947)
    state_dict_keys = (346, 333)
    gigaflops = (71.530, 286.121)

    def narrow(self, auxiliary=True):
        return DDRNet(NUM_CLASSES, planes=4, pooling_planes=8, head_planes=16, auxiliary=auxiliary)


class TestDDRNet39(NetworkTester):
    """Sizes: the authors' code, counted."""

    name = "ddrnet39"
    parameters = (32_660_838, 32_360_275)
    state_dict_keys = (514, 501)
    gigaflops = (140.558, 562.232)

    def narrow(self, auxiliary=True):
        return DDRNet39(NUM_CLASSES, planes=4, pooling_planes=8, head_planes=8, auxiliary=auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("layer1.2.bn2.running_var", (64,)),
            ("layer2.3.conv1.weight", (128, 128, 3, 3)),
            ("layer3_1.0.downsample.0.weight", (256, 128, 1, 1)),
            ("layer3_2.2.conv2.weight", (256, 256, 3, 3)),
            ("layer3_1_.2.bn1.weight", (128,)),
            ("layer3_2_.0.conv1.weight", (128, 128, 3, 3)),
            ("layer4.2.bn2.bias", (512,)),
            ("layer4_.2.conv1.weight", (128, 128, 3, 3)),
            ("compression3_2.0.weight", (128, 256, 1, 1)),
            ("down3_1.0.weight", (256, 128, 3, 3)),
            ("down4.4.running_mean", (512,)),
            ("seghead_extra.conv1.weight", (256, 128, 3, 3)),
            ("final_layer.conv2.bias", (19,)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape


def test_streams_exchange_what_is_above_zero():
    # Identity both ways: low 3 takes in 0 for a high of -2, high -2 takes in low 3.
    low, high = torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 2, 2), -2.0)
    low, high = exchange(low, high, down=torch.nn.MaxPool2d(2), compression=torch.nn.Identity())
    assert low.flatten().tolist() == [3.0]
    assert high.flatten().tolist() == [1.0] * 4


def test_dappm_keeps_the_size_and_sees_the_whole_map():
    torch.manual_seed(0)
    pyramid = DAPPM(inputs=4, branch=3, outputs=5).eval()
    x = torch.rand(1, 4, 9, 17, requires_grad=True)
    y = pyramid(x)
    y[0, :, 0, 0].sum().backward()
    assert y.shape == (1, 5, 9, 17)
    assert (x.grad.abs().sum(1) > 0).all()
