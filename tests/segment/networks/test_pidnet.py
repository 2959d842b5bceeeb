"""PIDNet: its size to the digit, its key names, its ways of fusing branches, and the losses of its boundary head."""

import math

import pytest
import torch

from segment.classes import IGNORE_INDEX
from segment.networks import NETWORKS
from segment.networks.pidnet import PAPPM, Bag, LightBag, Pag, PIDNet
from segment.networks.segmenter import SegmenterOutput
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester


class PIDNetTester(NetworkTester):
    has_boundary_head = True

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"PIDNet cannot train on a batch of 1: .* Raise the batch size to 2"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_its_losses_teach_both_the_boundary_head_and_the_main_one(self, network):
        label_map = torch.zeros(2, 64, 64, dtype=torch.int64)
        label_map[:, 20:, 30:] = 3
        torch.nn.init.constant_(network.seghead_d.conv2.bias, 5.0)  # sure of boundaries everywhere
        losses = network.own_losses(network.train()(torch.rand(2, 3, 64, 64)), label_map)
        assert set(losses) == {"boundary", "boundary_aware"}
        losses["boundary"].backward(retain_graph=True)
        assert network.seghead_d.conv2.weight.grad.any() and network.final_layer.conv2.weight.grad is None
        losses["boundary_aware"].backward()
        assert network.final_layer.conv2.weight.grad.any()


class TestPIDNetS(PIDNetTester):
    """Sizes: the authors' code, counted."""

    name = "pidnet_s"
    parameters = (7_720_935, 7_625_715)
    state_dict_keys = (479, 453)
    gigaflops = (23.597, 94.388)

    def narrow(self, auxiliary=True):
        return PIDNet(NUM_CLASSES, 8, (2, 3), pooling_planes=8, head_planes=8, light=True, auxiliary=auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("conv1.0.weight", (32, 3, 3, 3)),
            ("conv1.3.bias", (32,)),
            ("layer3.2.bn2.running_var", (128,)),
            ("layer5.1.conv1.weight", (256, 512, 1, 1)),
            ("layer3_.1.conv2.weight", (64, 64, 3, 3)),
            ("layer5_.0.downsample.0.weight", (128, 64, 1, 1)),
            ("layer3_d.conv1.weight", (32, 64, 3, 3)),
            ("layer3_d.downsample.1.bias", (32,)),
            ("layer4_d.0.conv3.weight", (64, 32, 1, 1)),
            ("layer5_d.0.bn3.weight", (128,)),
            ("pag3.f_x.0.weight", (32, 64, 1, 1)),
            ("pag4.f_y.1.running_mean", (32,)),
            ("diff3.0.weight", (32, 128, 3, 3)),
            ("diff4.1.weight", (64,)),
            ("compression4.0.weight", (64, 256, 1, 1)),
            ("spp.scale_process.2.weight", (384, 96, 3, 3)),
            ("spp.scale4.3.weight", (96, 512, 1, 1)),
            ("dfm.conv_p.0.weight", (128, 128, 1, 1)),
            ("dfm.conv_i.1.running_var", (128,)),
            ("seghead_p.conv2.weight", (19, 128, 1, 1)),
            ("seghead_d.conv2.bias", (1,)),
            ("final_layer.conv2.bias", (19,)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape


class TestPIDNetM(PIDNetTester):
    """Sizes: the authors' code, counted. The narrow form has heads of another width than its boundary branch."""

    name = "pidnet_m"
    parameters = (28_763_111, 28_538_515)
    state_dict_keys = (479, 453)
    gigaflops = (88.665, 354.657)

    def narrow(self, auxiliary=True):
        return PIDNet(NUM_CLASSES, 4, (2, 3), pooling_planes=8, head_planes=16, light=True, auxiliary=auxiliary)


class TestPIDNetL(PIDNetTester):
    """Sizes: the authors' code, counted."""

    name = "pidnet_l"
    parameters = (37_314_311, 36_939_571)
    state_dict_keys = (545, 519)
    gigaflops = (137.467, 549.867)

    def narrow(self, auxiliary=True):
        return PIDNet(NUM_CLASSES, 4, (3, 4), pooling_planes=8, head_planes=8, light=False, auxiliary=auxiliary)

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("layer4.3.bn2.weight", (512,)),
            ("layer4_d.conv2.weight", (128, 128, 3, 3)),
            ("diff3.0.weight", (128, 256, 3, 3)),
            ("spp.process4.2.weight", (112, 112, 3, 3)),
            ("dfm.conv.2.weight", (256, 256, 3, 3)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape


# --- fusing ----------------------------------------------------------------------------------------------------------


def identity_convs(module):
    """Every convolution hands its input on, and no normalisation changes it (but for its epsilon of 1e-5)."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.dirac_(layer.weight, layer.groups)
    return module.eval()


def test_pag_trusts_context_as_far_as_it_agrees():
    # Agreement 2 * 3 + 0 * 5 = 6, so trust is sigmoid(6): detail (2, 0) and context (3, 5) meet at that share.
    detail, context = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1), torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)
    trust = 1 / (1 + math.exp(-6))
    fused = identity_convs(Pag(2, 2))(detail, context).flatten().tolist()
    assert fused == pytest.approx([2 + trust, 5 * trust], rel=1e-4)


def test_pag_brings_context_to_the_size_of_detail():
    assert Pag(4, 2).eval()(torch.rand(1, 4, 8, 6), torch.rand(1, 4, 4, 3)).shape == (1, 4, 8, 6)


@pytest.mark.parametrize(
    ("fusion", "expected"),
    [
        # Attention sigmoid(log 3) = 3/4. Bag: 3/4 * 4 + 1/4 * 8 = 5.
        (Bag, 5.0),
        # LightBag: (4 + 1/4 * 8) + (8 + 3/4 * 4) = 6 + 11 = 17.
        (LightBag, 17.0),
    ],
)
def test_bag_weighs_detail_by_the_boundary(fusion, expected):
    detail, context, boundary = (torch.full((1, 1, 1, 1), value) for value in (4.0, 8.0, math.log(3)))
    assert identity_convs(fusion(1))(detail, context, boundary).item() == pytest.approx(expected, rel=1e-4)


def test_pappm_keeps_the_size_and_sees_the_whole_map():
    torch.manual_seed(0)
    pyramid = PAPPM(inputs=4, branch=3, outputs=5).eval()
    x = torch.rand(1, 4, 9, 17, requires_grad=True)
    y = pyramid(x)
    y[0, :, 0, 0].sum().backward()
    assert y.shape == (1, 5, 9, 17)
    assert (x.grad.abs().sum(1) > 0).all()


def test_the_widths_of_pappm_do_not_hear_each_other():
    """PAPPM's four groups are what makes it parallel: the weights of one width see that width's channels alone."""
    assert PAPPM(inputs=4, branch=3, outputs=5).scale_process[2].weight.shape == (12, 3, 3, 3)


def test_context_goes_down_without_a_relu_between_the_last_blocks():
    """The published weights expect it, although a stage of any other kind has one there."""
    network = TestPIDNetS().narrow().eval()
    passed = []
    network.layer5[0].register_forward_hook(lambda module, inputs, output: passed.append(output))
    network(torch.rand(1, 3, 64, 64))
    assert passed[0].min() < 0


# --- losses of the boundary head --------------------------------------------------------------------------------------


def output_of(probabilities, boundary_logits):
    """Two classes, the first one with these probabilities; one row of pixels."""
    p = torch.tensor(probabilities)
    main = torch.stack([p.log(), (1 - p).log()]).view(1, 2, 1, -1)
    return SegmenterOutput(main, (main,), torch.tensor(boundary_logits).view(1, 1, 1, -1))


def own_losses(output, label_map):
    with torch.device("meta"):
        network = NETWORKS["pidnet_s"](num_classes=2)
    return network.own_losses(output, torch.tensor([[label_map]]))


def test_the_losses_by_hand():
    # Labels 0 0 0 0 1 1 1 1: pixels 2 to 5 are boundary, so all weigh 1/2. At logit 0 each costs log 2; at the two
    # logits of log 9, probability 0.9, a boundary costs log 10/9. Mean over 8: (6 log 2 + 2 log 10/9) / 16, times 20.
    output = output_of([0.5, 0.5, 0.25, 0.5, 0.5, 0.8, 0.5, 0.5], [0, 0, math.log(9), 0, 0, math.log(9), 0, 0])
    losses = own_losses(output, [0, 0, 0, 0, 1, 1, 1, 1])
    assert losses["boundary"].item() == pytest.approx(20 * (6 * math.log(2) + 2 * math.log(10 / 9)) / 16)
    # Only those two pixels are surely boundary: -log 0.25 for class 0 and -log (1 - 0.8) for class 1.
    assert losses["boundary_aware"].item() == pytest.approx((math.log(4) + math.log(5)) / 2, rel=1e-5)


def test_a_probability_below_0_8_is_not_sure_enough():
    losses = own_losses(output_of([0.5, 0.5], [math.log(3), math.log(3)]), [0, 1])
    assert losses["boundary_aware"].item() == 0


def test_an_ignored_pixel_is_no_boundary_however_sure_the_head_is():
    losses = own_losses(output_of([0.5, 0.25], [9.0, 9.0]), [0, IGNORE_INDEX])
    assert losses["boundary"].item() == 0
    assert losses["boundary_aware"].item() == pytest.approx(math.log(2))


def test_ignored_pixels_alone_cost_zero():
    losses = own_losses(output_of([0.5, 0.25], [9.0, -9.0]), [IGNORE_INDEX, IGNORE_INDEX])
    assert {name: loss.item() for name, loss in losses.items()} == {"boundary": 0, "boundary_aware": 0}


def test_without_the_head_there_are_no_such_losses():
    assert own_losses(SegmenterOutput(torch.zeros(1, 2, 1, 2)), [0, 1]) == {}
