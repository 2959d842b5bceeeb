"""BiSeNetV2: its size to the digit, its key names, how its branches gate each other, and the sizes of its boosters."""

import math

import pytest
import torch

from segment.networks.bisenetv2 import BiSeNetV2, ContextEmbedding, GuidedAggregation
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class TestBiSeNetV2(NetworkTester):
    """Sizes: CoinCheung's code, counted."""

    name = "bisenetv2"
    parameters = (5_231_487, 3_358_627)
    state_dict_keys = (383, 327)
    gigaflops = (49.207, 196.826)
    auxiliary_heads = 4

    def narrow(self, auxiliary=True):
        return BiSeNetV2(NUM_CLASSES, planes=2, head_planes=8, auxiliary_planes=4, auxiliary=auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("detail.S1.0.conv.weight", (64, 3, 3, 3)),
            ("detail.S3.2.bn.running_var", (128,)),
            ("segment.S1S2.left.0.conv.weight", (8, 16, 1, 1)),
            ("segment.S1S2.fuse.conv.weight", (16, 32, 3, 3)),
            ("segment.S3.0.dwconv1.0.weight", (96, 1, 3, 3)),
            ("segment.S3.0.shortcut.2.weight", (32, 16, 1, 1)),
            ("segment.S4.1.dwconv.1.weight", (384,)),
            ("segment.S5_4.0.dwconv2.1.bias", (384,)),
            ("segment.S5_4.3.conv2.0.weight", (128, 768, 1, 1)),
            ("segment.S5_5.bn.running_mean", (128,)),
            ("segment.S5_5.conv_last.conv.weight", (128, 128, 3, 3)),
            ("bga.left1.2.weight", (128, 128, 1, 1)),
            ("bga.left2.0.weight", (128, 128, 3, 3)),
            ("bga.right1.1.weight", (128,)),
            ("bga.right2.0.weight", (128, 1, 3, 3)),
            ("bga.conv.1.bias", (128,)),
            ("head.conv.conv.weight", (1024, 128, 3, 3)),
            ("head.conv_out.1.bias", (19,)),
            ("aux2.conv_out.0.1.conv.weight", (16, 128, 3, 3)),
            ("aux4.conv_out.0.1.bn.weight", (256,)),
            ("aux5_4.conv_out.1.weight", (19, 1024, 1, 1)),
        ],
    )
    def test_keys_are_those_of_coincheung(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"BiSeNetV2 cannot train on a batch of 1: .* Raise the batch size to 2"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_boosters_answer_at_twice_the_size_of_their_stage(self, network):
        output = network.train().coarse_logits(torch.rand(2, 3, 64, 96))
        assert [tuple(logits.shape[-2:]) for logits in output.auxiliary] == [(32, 48), (16, 24), (8, 12), (4, 6)]


def test_branches_gate_each_other():
    """Detail 1, semantics log 3, all convolutions the identity: no map is weighed by itself."""
    layer = GuidedAggregation(1).eval()
    for module in layer.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.dirac_(module.weight)
    detail, semantics = torch.ones(1, 1, 8, 8), torch.full((1, 1, 2, 2), math.log(3))
    # Fine: 1 * sigmoid(log 3) = 3/4. Coarse: the mean of detail, times the same gate. Where the window of that mean
    # (3x3 of every second pixel, with zeros beyond the rim) is inside the map, it is 1, and the sum is 3/2.
    fused = layer(detail, semantics)
    assert fused.shape == (1, 1, 8, 8)
    assert fused[0, 0, 7, 7].item() == pytest.approx(1.5, rel=1e-4)
    assert fused[0, 0, 0, 0].item() == pytest.approx(0.75 * (1 + 4 / 9), rel=1e-4)


def test_context_reaches_every_place():
    torch.manual_seed(0)
    embedding = ContextEmbedding(4).eval()
    x = torch.rand(1, 4, 9, 9, requires_grad=True)
    embedding(x)[0, :, 0, 0].sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()
