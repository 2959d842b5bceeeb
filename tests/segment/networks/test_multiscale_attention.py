"""Hierarchical attention: the paper's formula by hand, on numbers and on a network that answers with known ones."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segment.networks.deeplabv3plus import DeepLabV3Plus
from segment.networks.multiscale_attention import HierarchicalAttention, combine
from segment.networks.segmenter import Segmenter, SegmenterOutput
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class TestHierarchicalDeepLabV3Plus(NetworkTester):
    """Sizes: our own code, counted, at scales 0.5 and 1: the network's, a quarter more, the head's."""

    name = "hierarchical_deeplabv3plus_wrn38"
    parameters = (138_395_456, 138_395_456)
    state_dict_keys = (281, 281)
    gigaflops = (3725.066, 14900.252)
    auxiliary_heads = 0

    def narrow(self, auxiliary=True):
        segmenter = DeepLabV3Plus(NUM_CLASSES, width=2, planes=8, fine_planes=4)
        return HierarchicalAttention(segmenter, features=12, planes=8)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("segmenter.mod1.conv1.weight", (64, 3, 3, 3)),
            ("scale_attn.conv0.weight", (256, 304, 3, 3)),
            ("scale_attn.bn1.running_var", (256,)),
            ("scale_attn.conv2.weight", (1, 256, 1, 1)),
        ],
    )
    def test_keys_of_the_attention_head_are_those_of_nvidia(self, key, shape):
        assert self.published(True).state_dict()[key].shape == shape

    @pytest.mark.parametrize("scales", [(1,), (0.5, 1, 2), (0.25, 0.5, 1, 1.5), (1, 2)])
    def test_any_scales_do_at_inference(self, network, scales):
        network.at_scales(scales)
        logits = network.eval()(torch.rand(1, 3, 50, 70))
        assert logits.shape == (1, NUM_CLASSES, 50, 70) and logits.isfinite().all()

    def test_it_can_be_copied_after_use(self, network):
        """The moving average of the weights is a copy of the network."""
        image = torch.rand(2, 3, 64, 64)
        network.train()(image).main.sum().backward()
        torch.testing.assert_close(copy.deepcopy(network).eval()(image), network.eval()(image))


class Width(Segmenter):
    """Every logit is the width of the image that the network was given; its features are the image's red."""

    stride = 1
    encoder = classifier = "seen"

    def __init__(self):
        super().__init__()
        self.seen = nn.Identity()

    def coarse_logits(self, normalised):
        self.seen(normalised[:, :1])
        return SegmenterOutput(torch.full_like(normalised[:, :1], normalised.shape[-1]), (-normalised[:, :1],))


def constant_attention(value):
    return nn.Sequential(nn.Threshold(float("inf"), value))


def hierarchical_width(attention, scales=(0.5, 1)):
    network = HierarchicalAttention(Width(), features=1, planes=2, scales=scales)
    network.scale_attn = constant_attention(attention)
    return network.eval()


@pytest.mark.parametrize(
    ("scales", "expected"),
    [
        ((1,), 8),
        ((0.5, 1), 0.25 * 4 + 0.75 * 8),
        ((1, 2), 0.25 * 8 + 0.75 * 16),
        ((2, 0.5, 1), 0.25 * 4 + 0.75 * (0.25 * 8 + 0.75 * 16)),
        ((0.25, 0.5, 1, 2), 0.25 * 2 + 0.75 * (0.25 * 4 + 0.75 * (0.25 * 8 + 0.75 * 16))),
    ],
)
def test_each_scale_takes_its_share_from_the_smallest_up(scales, expected):
    """The image is 8 wide, so scale 0.5 answers 4, scale 1 answers 8, scale 2 answers 16; attention is 1/4."""
    logits = hierarchical_width(0.25, scales)(torch.rand(1, 3, 8, 8))
    torch.testing.assert_close(logits, torch.full((1, 1, 8, 8), float(expected)))


def test_features_and_labels_are_laid_out_as_the_network_inside_pads():
    """It pads to 8, the wrapper by itself to nothing."""
    inside = Width()
    inside.stride = 8
    network = HierarchicalAttention(inside, features=1, planes=2)
    features, label_map = torch.rand(1, 3, 2, 2), torch.zeros(1, 9, 16, dtype=torch.int64)
    assert torch.equal(network.over_image(features, 9, 16), inside.over_image(features, 9, 16))
    assert network.over_image(features, 9, 16).shape == (1, 3, 1, 2)
    assert network.padded_labels(label_map).shape == (1, 16, 16)


def test_images_are_normalised_as_the_network_inside_expects_them():
    """Its features are the image's red: 0.7 less a mean of 0.2, by a deviation of 0.25."""
    inside = Width()
    inside.normalise_by((0.2, 0.2, 0.2), (0.25, 0.25, 0.25))
    network = HierarchicalAttention(inside, features=1, planes=2).eval()
    _, features = network.with_features(torch.full((1, 3, 8, 8), 0.7))
    torch.testing.assert_close(features, torch.full((1, 1, 8, 8), 2.0))


def test_training_is_at_a_half_and_one_whatever_the_scales_of_inference():
    """0.25 x 4 + 0.75 x 8 = 7; the auxiliary head answers for scale 1 alone."""
    network = hierarchical_width(0.25, (0.5, 1, 2)).train()
    image = torch.rand(1, 3, 8, 8)
    output = network(image)
    assert output.main.unique().tolist() == [7]
    torch.testing.assert_close(output.auxiliary[0], (0.485 - image[:, :1]) / 0.229)


def test_below_the_target_the_product_is_enlarged_and_so_is_the_attention():
    """Attention 1 and 0, logits 4 and 8, above them 10: enlarged to four columns by 1, 3/4, 1/4, 0 of the first.

    The products are 4 and 0, so column by column 4, 3, 1, 0 and (1 - 1, 3/4, 1/4, 0) x 10 = 0, 2.5, 7.5, 10.
    Enlarging logits and attention apart would give 5 x 3/4 + 2.5 in the second column.
    """
    low, trust = torch.tensor([[[[4.0, 8.0]]]]), torch.tensor([[[[1.0, 0.0]]]])
    high = torch.full((1, 1, 1, 4), 10.0)
    combined = combine([low, high], [trust, None], (0.5, 1), align=False)
    torch.testing.assert_close(combined, torch.tensor([[[[4.0, 5.5, 8.5, 10.0]]]]))


def test_above_the_target_the_larger_map_is_reduced():
    """At scale 2 two pairs of 2 and 6, 10 and 20: reduced to 4 and 15; attention 1/2 and 0, logits 8 and 8."""
    here, trust = torch.tensor([[[[8.0, 8.0]]]]), torch.tensor([[[[0.5, 0.0]]]])
    large = torch.tensor([[[[2.0, 6.0, 10.0, 20.0], [2.0, 6.0, 10.0, 20.0]]]])
    combined = combine([here, large], [trust, None], (1, 2), align=False)
    torch.testing.assert_close(combined, torch.tensor([[[[6.0, 15.0]]]]))


def test_attention_is_read_from_what_the_classifier_sees():
    """Here the image's red: 1 where it is bright. There the coarse answer counts, elsewhere the fine one."""
    network = HierarchicalAttention(Width(), features=1, planes=2)
    network.scale_attn = nn.Sequential(nn.Threshold(0, 0), nn.Hardtanh(0, 1))
    image = torch.zeros(1, 3, 8, 16)
    image[..., 8:] = 1
    logits = network.eval()(image)
    assert logits[..., :6].unique().tolist() == [16]
    assert logits[..., 10:].unique().tolist() == [8]


def test_a_head_of_the_papers_form_answers_between_0_and_1():
    torch.manual_seed(0)
    head = HierarchicalAttention(Width(), features=3, planes=4).scale_attn.eval()
    answer = head(torch.randn(2, 3, 6, 5))
    assert answer.shape == (2, 1, 6, 5) and answer.min() > 0 and answer.max() < 1
    assert [type(layer) for layer in head] == [
        nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Conv2d, nn.Sigmoid,
    ]  # fmt: skip


@pytest.mark.parametrize("scales", [(0.5, 2), (0, 1), (1, 1)])
def test_scales_that_make_no_sense_are_refused(scales):
    with pytest.raises(ValueError, match=r"expected different ones above 0, 1 among them"):
        hierarchical_width(0.5, scales)


def test_losses_of_the_network_inside_are_kept():
    class Strict(Width):
        auxiliary_weight = 0.7

        def own_losses(self, output, label_map):
            return {"strict": F.relu(output.main).sum()}

    network = HierarchicalAttention(Strict(), features=1)
    assert network.auxiliary_weight == 0.7
    assert network.own_losses(SegmenterOutput(torch.ones(2)), torch.zeros(1))["strict"] == 2
