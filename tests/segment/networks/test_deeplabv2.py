"""DeepLabV2: its size to the digit, its two readings of the classifier, and weights made for another input."""

import pytest
import torch

from segment.complexity import count_parameters
from segment.networks import NETWORKS
from segment.networks.deeplabv2 import AUTHORS_MEAN, DeepLabV2, DilatedClassifier, with_our_input
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


def trained(network):
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def narrow(auxiliary=True, **options):
    return DeepLabV2(NUM_CLASSES, auxiliary=auxiliary, planes=4, blocks=(1, 2, 1, 1), **options)


class TestDeepLabV2(NetworkTester):
    """Sizes: AdaptSegNet's code, counted."""

    name = "deeplabv2_resnet101"
    parameters = (43_901_068, 43_901_068)
    state_dict_keys = (632, 632)
    gigaflops = (735.566, 2908.753)
    auxiliary_heads = 0

    def narrow(self, auxiliary=True):
        return narrow(auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("conv1.weight", (64, 3, 7, 7)),
            ("bn1.running_mean", (64,)),
            ("layer1.0.downsample.0.weight", (256, 64, 1, 1)),
            ("layer2.0.conv1.weight", (128, 256, 1, 1)),
            ("layer3.0.downsample.1.running_var", (1024,)),
            ("layer3.22.conv2.weight", (256, 256, 3, 3)),
            ("layer4.2.bn3.bias", (2048,)),
            ("layer5.conv2d_list.0.weight", (19, 2048, 3, 3)),
            ("layer5.conv2d_list.3.bias", (19,)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        assert self.published(True).state_dict()[key].shape == shape

    @pytest.mark.parametrize("branches", [2, 4])
    def test_batch_normalisation_and_unused_branches_are_not_trained(self, branches):
        """Published: 43,795,724 trained, of which 700,454 in two branches that never see a gradient there."""
        with torch.device("meta"):
            network = NETWORKS[self.name](aspp_branches=branches)
        assert trained(network) == {2: 43_795_724 - 700_454, 4: 43_795_724}[branches]


class TestDeepLabV2Multi(NetworkTester):
    """Sizes: AdaptSegNet's code, counted; but for FLOPs in evaluation, where ours leaves the auxiliary head out."""

    name = "deeplabv2_resnet101_multi"
    parameters = (44_601_560, 43_901_068)
    state_dict_keys = (640, 632)
    gigaflops = (735.566, 2908.753)

    def narrow(self, auxiliary=True):
        return narrow(auxiliary, multi_level=True)

    def test_with_the_auxiliary_head_it_takes_the_published_arithmetic(self):
        """741.439 and 2931.974: the authors' code runs both heads in evaluation too."""
        network = self.published(True)
        for (height, width), expected in {(512, 1024): 741.439, (1024, 2048): 2931.974}.items():
            with torch.utils.flop_counter.FlopCounterMode(display=False) as counter, torch.no_grad():
                network.train().coarse_logits(torch.zeros(1, 3, height, width, device="meta"))
            assert counter.get_total_flops() / 1e9 == pytest.approx(expected, abs=5e-4)

    @pytest.mark.parametrize("branches", [2, 4])
    def test_batch_normalisation_and_unused_branches_are_not_trained(self, branches):
        """Published: 44,496,216 trained, of which 1,050,700 in four branches that never see a gradient there."""
        with torch.device("meta"):
            network = NETWORKS[self.name](aspp_branches=branches)
        assert trained(network) == {2: 44_496_216 - 1_050_700, 4: 44_496_216}[branches]

    def test_heads_are_in_their_places(self):
        with torch.device("meta"):
            state = NETWORKS[self.name]().state_dict()
        assert state["layer5.conv2d_list.0.weight"].shape == (19, 1024, 3, 3)
        assert state["layer6.conv2d_list.3.weight"].shape == (19, 2048, 3, 3)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(64, 128, 9, 17), (8, 8, 2, 2)])
def test_maps_have_a_row_and_a_column_more_than_an_eighth(height, width, rows, columns):
    """As published: pooling rounds up. 1024x2048 makes 129x257."""
    with torch.no_grad():
        logits = narrow().eval().coarse_logits(torch.rand(1, 3, height, width)).main
    assert logits.shape == (1, NUM_CLASSES, rows, columns)


@pytest.mark.parametrize(("branches", "expected"), [(2, 1 + 2), (4, 1 + 2 + 3 + 4)])
def test_two_or_four_branches_are_summed(branches, expected):
    """Weights 0, biases 1, 2, 3, 4: the answer is the sum of the biases of the branches that count."""
    classifier = DilatedClassifier(inputs=2, num_classes=1, branches=branches)
    for bias, conv in enumerate(classifier.conv2d_list, start=1):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.constant_(conv.bias, bias)
    assert classifier(torch.rand(1, 2, 3, 3)).unique().tolist() == [expected]


def test_another_number_of_branches_is_refused():
    with pytest.raises(ValueError, match="aspp_branches is 3; expected 2, as published, or 4, as in the paper"):
        narrow(aspp_branches=3)


def test_both_readings_take_the_same_weights():
    two, four = narrow(aspp_branches=2), narrow(aspp_branches=4)
    assert four.load_state_dict(two.state_dict()).missing_keys == []
    assert count_parameters(two) == count_parameters(four)


def test_in_training_statistics_move_and_scales_do_not():
    network = narrow().train()
    before = {name: value.clone() for name, value in network.bn1.state_dict().items()}
    network(torch.rand(1, 3, 64, 64)).main.sum().backward()
    assert network.bn1.weight.grad is None and torch.equal(network.bn1.weight, before["weight"])
    assert not torch.equal(network.bn1.running_mean, before["running_mean"])


def test_weights_for_blue_first_input_answer_alike_on_ours():
    """The stem of the authors' network on their input, against ours on rewritten weights, away from the rim."""
    torch.manual_seed(0)
    stem, ours = narrow().eval(), narrow().eval()
    stem.bn1.running_mean.normal_(0, 3)
    stem.bn1.running_var.uniform_(20, 60)
    ours.load_state_dict(with_our_input(stem.state_dict()))

    image = torch.rand(2, 3, 32, 32)
    mean = torch.tensor(AUTHORS_MEAN).view(1, 3, 1, 1)
    theirs = stem.bn1(stem.conv1((image * 255 - mean).flip(1)))
    here = ours.bn1(ours.conv1((image - ours.image_mean) / ours.image_std))
    torch.testing.assert_close(here[..., 2:-2, 2:-2], theirs[..., 2:-2, 2:-2], rtol=1e-4, atol=1e-4)
    # Zeros around the image stand for a mean that differs by a grey level at most, of the 255 that count.
    assert (here - theirs).abs().max() < 0.02 * theirs.abs().max()


def test_rewriting_leaves_the_given_weights_alone():
    state = {"conv1.weight": torch.ones(2, 3, 7, 7), "layer5.x": torch.ones(1)}
    rewritten = with_our_input(state)
    assert state["conv1.weight"].unique().tolist() == [1]
    assert rewritten["layer5.x"] is state["layer5.x"] and "bn1.running_mean" not in rewritten
