"""PP-LiteSeg: its size to the digit, its key names, its ways of pooling and fusing."""

import math

import pytest
import torch

from segment.complexity import count_flops, count_parameters
from segment.networks import NETWORKS
from segment.networks.encoders.efficientnet_lite import EfficientNetLite
from segment.networks.encoders.encoder import STRIDES
from segment.networks.ppliteseg import (
    AttentionFusion,
    DenseConcatenation,
    DenseEncoder,
    PPLiteSeg,
    SimplePyramidPooling,
)
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class PPLiteSegTester(NetworkTester):
    auxiliary_heads = 0

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"PPLiteSeg cannot train on a batch of 1: .* Raise the batch size to 2"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_a_logit_may_speak_against_a_class(self, network):
        assert network.eval()(torch.rand(1, 3, 64, 64)).min() < 0


class TestPPLiteSegT(PPLiteSegTester):
    """Sizes: zh320's code, counted."""

    name = "ppliteseg_t"
    parameters = (6_326_670, 6_326_670)
    state_dict_keys = (203, 203)
    gigaflops = (17.769, 71.042)

    def narrow(self, auxiliary=True):
        return PPLiteSeg(NUM_CLASSES, DenseEncoder(4, (2, 2, 2)), widths=(4, 6, 8))

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("backbone.stage1.0.weight", (32, 3, 3, 3)),
            ("backbone.stage3.0.block2.0.weight", (64, 128, 3, 3)),
            ("backbone.stage5.1.block4.1.running_var", (128,)),
            ("sppm.pool1.1.0.weight", (256, 1024, 1, 1)),
            ("sppm.pool3.1.1.bias", (256,)),
            ("sppm.conv.weight", (32, 256, 3, 3)),
            ("decoder.stage6.0.weight", (32, 32, 3, 3)),
            ("decoder.fusion1.conv.weight", (32, 512, 1, 1)),
            ("decoder.fusion2.attention.conv.weight", (1, 4, 1, 1)),
            ("decoder.stage8.1.weight", (128,)),
            ("decoder.seg_head.0.weight", (19, 128, 3, 3)),
            ("decoder.seg_head.1.bias", (19,)),
        ],
    )
    def test_keys_are_those_of_zh320_behind_the_encoder(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape


class TestPPLiteSegB(PPLiteSegTester):
    """Sizes: our own count, as no public one of this rebuilt form was found."""

    name = "ppliteseg_b"
    parameters = (10_556_942, 10_556_942)
    state_dict_keys = (347, 347)
    gigaflops = (32.016, 128.030)

    def narrow(self, auxiliary=True):
        return PPLiteSeg(NUM_CLASSES, DenseEncoder(4, (4, 5, 3)), widths=(6, 8, 10))


class TestPPLiteSegOnEfficientNetLite(PPLiteSegTester):
    """Sizes: our own count; no published network is this one."""

    name = "ppliteseg_efficientnet_lite0"
    parameters = (3_189_070, 3_189_070)
    state_dict_keys = (335, 335)
    gigaflops = (9.336, 37.342)
    mean, white = (127 / 255,) * 3, (1.0, 1.0, 1.0)

    def narrow(self, auxiliary=True):
        return PPLiteSeg(NUM_CLASSES, EfficientNetLite(0, width=0.25), widths=(4, 6, 8))


@pytest.mark.parametrize(
    ("encoder", "parameters", "gigaflops"),
    [
        ("efficientnet_lite1", 3_953_742, 11.787),
        ("efficientnet_lite2", 4_607_422, 13.305),
        ("resnet18", 11_550_894, 39.760),
        ("mobilenet_v3_large", 3_863_614, 6.234),
    ],
)
def test_the_size_on_the_other_encoders(encoder, parameters, gigaflops):
    with torch.device("meta"):
        network = NETWORKS[f"ppliteseg_{encoder}"]()
    assert count_parameters(network) == parameters
    assert count_flops(network, (512, 1024)) / 1e9 == pytest.approx(gigaflops, abs=5e-4)


def test_its_own_encoder_is_one_as_all_others_are():
    encoder = DenseEncoder(4, (2, 2, 2)).eval()
    maps = encoder(torch.rand(1, 3, 64, 96))
    expected = [(1, c, 64 // s, 96 // s) for c, s in zip(encoder.channels, STRIDES, strict=True)]
    assert [tuple(x.shape) for x in maps] == expected


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "size"), [(1, (9, 6)), (2, (5, 3))])
def test_a_block_keeps_or_halves_the_size(stride, size):
    assert DenseConcatenation(4, 16, stride).eval()(torch.rand(1, 4, 9, 6)).shape == (1, 16, *size)


def test_pooling_sums_the_means_of_the_whole_of_quarters_and_of_sixteenths():
    pyramid = SimplePyramidPooling(4, 1).eval()
    for module in pyramid.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.dirac_(module.weight)
    x = torch.zeros(1, 4, 4, 4)
    x[0, 0, 0, 0] = 16.0
    pooled = pyramid(x)[0, 0]
    # At the corner: mean of all 1, of its quarter 4, of itself 16. At the opposite corner only the mean of all.
    assert pooled[0, 0].item() == pytest.approx(1 + 4 + 16, rel=1e-4)
    assert pooled[3, 3].item() == pytest.approx(1, rel=1e-4)


def test_fusion_takes_the_share_of_the_coarse_map_that_attention_gives():
    fusion = AttentionFusion(2, 2).eval()
    torch.nn.init.dirac_(fusion.conv.weight)
    # Coarse mean 2, largest 3; fine mean 1, largest 2. Weights 1, -1, 1, 0 and log 3 in all: 2 - 3 + 1 + ... = 0.
    fusion.attention.conv.weight.data = torch.tensor([1.0, -1.0, 1.0, math.log(3) / 2]).view(1, 4, 1, 1)
    coarse = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)
    fine = torch.tensor([0.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    # So the share is sigmoid(log 3) = 3/4: 3/4 * 1 + 1/4 * 0 and 3/4 * 3 + 1/4 * 2.
    fused = fusion(coarse, fine)
    assert fused.shape == (1, 2, 2, 3)
    assert fused[0, :, 1, 2].tolist() == pytest.approx([0.75, 2.75])
