"""STDC-Seg: its size to the digit, its key names, what evaluation leaves out, and the losses of its detail head."""

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from segment.complexity import count_flops, count_parameters
from segment.networks.segmenter import SegmenterOutput
from segment.networks.stdc import DenseConcatenation, STDCSeg, with_our_norms
from tests.segment.networks.tester import NUM_CLASSES, NetworkTester

UNUSED = ("cp.backbone.conv_last", "cp.backbone.fc", "cp.backbone.bn", "cp.backbone.linear")


class STDCTester(NetworkTester):
    """Sizes: the authors' code, counted, with PyTorch's batch normalisation in place of InPlace-ABN."""

    auxiliary_heads = 2
    has_boundary_head = True
    gigaflops_as_shipped: float
    """At 512x1024, of the authors' code, which computes all heads in evaluation too; `gigaflops` are without."""

    def test_with_all_heads_it_would_take_what_the_authors_code_takes(self):
        network = self.published(auxiliary=True)
        strides = {"16": 8, "32": 16, "_sp2": 2, "_sp4": 4, "_sp8": 8, "_sp16": 16}
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            for name, stride in strides.items():
                head = network.get_submodule(f"conv_out{name}").eval()
                head(torch.zeros(1, head.conv.conv.in_channels, 512 // stride, 1024 // stride, device="meta"))
        total = (count_flops(network, (512, 1024)) + counter.get_total_flops()) / 1e9
        assert total == pytest.approx(self.gigaflops_as_shipped, abs=5e-4)

    def test_a_batch_of_one_is_refused_in_training_mode_only(self, network):
        with pytest.raises(ValueError, match=r"STDCSeg cannot train on a batch of 1: .* Raise the batch size to 2"):
            network.train()(torch.rand(1, 3, 64, 64))
        assert network.eval()(torch.rand(1, 3, 64, 64)).isfinite().all()

    def test_the_detail_losses_teach_the_layers_in_front_of_their_head_alone(self, network):
        label_map = torch.zeros(2, 64, 64, dtype=torch.int64)
        label_map[:, 20:, 30:] = 3
        losses = network.own_losses(network.train()(torch.rand(2, 3, 64, 64)), label_map)
        assert set(losses) == {"detail", "detail_dice"}
        sum(losses.values()).backward()
        assert network.conv_out_sp8.conv_out.weight.grad.any() and network.cp.backbone.x2[0][0].conv.weight.grad.any()
        assert network.conv_out.conv_out.weight.grad is None and network.cp.arm16.conv_atten.weight.grad is None

    def test_what_is_kept_for_published_weights_alone_is_not_trained(self, network):
        heads = ("conv_out_sp2", "conv_out_sp4", "conv_out_sp16")
        still = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
        assert still == {name for name, _ in network.named_parameters() if name.startswith((*UNUSED, *heads))}

    def test_layers_under_two_names_are_the_same(self, network):
        backbone = network.cp.backbone
        stages = [layer for stage in ["x2", "x4", "x8", "x16", "x32"] for layer in backbone.get_submodule(stage)[0]]
        assert len(stages) == len(backbone.features)
        assert all(one is other for one, other in zip(stages, backbone.features, strict=True))

    def test_no_two_tensors_of_a_state_dict_share_memory(self, network):
        """Checkpoints are files of safetensors, which refuse that."""
        state = network.state_dict()
        assert len({tensor.data_ptr() for tensor in state.values()}) == len(state)
        drawn_again = self.narrow()
        drawn_again.load_state_dict(state)
        assert all(torch.equal(value, state[key]) for key, value in drawn_again.state_dict().items())


class TestSTDC1(STDCTester):
    name = "stdc1"
    parameters = (12_048_928, 11_400_352)
    state_dict_keys = (460, 418)
    gigaflops = (33.726, 134.904)
    gigaflops_as_shipped = 46.155

    def narrow(self, auxiliary=True):
        return STDCSeg(NUM_CLASSES, planes=4, blocks=(2, 2, 2), auxiliary=auxiliary)

    def test_parts_have_the_published_size(self):
        network = self.published(auxiliary=False)
        unused = sum(count_parameters(network.get_submodule(name)) for name in UNUSED)
        assert unused == 3_125_248
        assert count_parameters(network) - unused == 8_275_104
        assert count_parameters(network.cp.backbone) == 8_443_552

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("cp.backbone.features.0.conv.weight", (32, 3, 3, 3)),
            ("cp.backbone.features.2.avd_layer.0.weight", (128, 1, 3, 3)),
            ("cp.backbone.features.2.avd_layer.1.bias", (128,)),
            ("cp.backbone.features.7.conv_list.3.bn.running_var", (128,)),
            ("cp.backbone.x2.0.0.bn.weight", (32,)),
            ("cp.backbone.x8.0.3.conv_list.0.conv.weight", (128, 256, 1, 1)),
            ("cp.backbone.x16.0.4.conv_list.2.conv.weight", (64, 128, 3, 3)),
            ("cp.backbone.x32.0.6.conv_list.0.conv.weight", (512, 512, 1, 1)),
            ("cp.backbone.conv_last.conv.weight", (1024, 1024, 1, 1)),
            ("cp.backbone.fc.weight", (1024, 1024)),
            ("cp.backbone.bn.running_mean", (1024,)),
            ("cp.backbone.linear.weight", (1000, 1024)),
            ("cp.arm16.conv.conv.weight", (128, 512, 3, 3)),
            ("cp.arm32.bn_atten.weight", (128,)),
            ("cp.conv_avg.conv.weight", (128, 1024, 1, 1)),
            ("ffm.convblk.conv.weight", (256, 384, 1, 1)),
            ("ffm.conv1.weight", (64, 256, 1, 1)),
            ("ffm.conv2.weight", (256, 64, 1, 1)),
            ("conv_out.conv_out.weight", (19, 256, 1, 1)),
            ("conv_out16.conv.conv.weight", (64, 128, 3, 3)),
            ("conv_out32.conv_out.weight", (19, 64, 1, 1)),
            ("conv_out_sp2.conv.conv.weight", (64, 32, 3, 3)),
            ("conv_out_sp4.conv.conv.weight", (64, 64, 3, 3)),
            ("conv_out_sp8.conv_out.weight", (1, 64, 1, 1)),
            ("conv_out_sp16.conv.conv.weight", (64, 512, 3, 3)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape


class TestSTDC2(STDCTester):
    name = "stdc2"
    parameters = (16_079_392, 15_430_816)
    state_dict_keys = (748, 706)
    gigaflops = (46.913, 187.651)
    gigaflops_as_shipped = 59.342

    def narrow(self, auxiliary=True):
        return STDCSeg(NUM_CLASSES, planes=4, blocks=(4, 5, 3), auxiliary=auxiliary)

    def test_its_encoder_has_the_published_size(self):
        assert count_parameters(self.published(auxiliary=False).cp.backbone) == 12_474_016

    @pytest.mark.parametrize(
        ("key", "shape"),
        [
            ("cp.backbone.features.13.conv_list.3.conv.weight", (128, 128, 3, 3)),
            ("cp.backbone.x8.0.5.conv_list.1.conv.weight", (64, 128, 3, 3)),
            ("cp.backbone.x16.0.6.avd_layer.0.weight", (256, 1, 3, 3)),
            ("cp.backbone.x32.0.11.conv_list.0.conv.weight", (512, 512, 1, 1)),
        ],
    )
    def test_keys_are_those_of_the_authors(self, key, shape):
        assert self.published(auxiliary=True).state_dict()[key].shape == shape


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stride", "size"), [(1, (9, 6)), (2, (5, 3))])
def test_a_block_concatenates_what_its_convolutions_see(stride, size):
    block = DenseConcatenation(4, 16, stride).eval()
    seen = []
    for conv in block.conv_list:
        conv.register_forward_hook(lambda module, inputs, output: seen.append(output))
    output = block(torch.rand(1, 4, 9, 6))
    assert output.shape == (1, 16, *size)
    torch.testing.assert_close(output, torch.cat([block.skip(seen[0]), *seen[1:]], dim=1))


# --- losses ----------------------------------------------------------------------------------------------------------


def test_the_losses_by_hand():
    # Classes 1 1 2 2: the first 2 is detail, and at every second pixel too, which stands for itself and the next one:
    # target 0 0 1 1. Logits of zero cost log 2 each; Dice: 1 - (2 * 1 + 1) / (2 + 4 * 1/2 + 1) = 2/5.
    with torch.device("meta"):
        network = STDCSeg(2, planes=2, blocks=(1, 1, 1))
    output = SegmenterOutput(torch.zeros(1, 2, 1, 4), (), boundary=torch.zeros(1, 1, 1, 4))
    losses = network.own_losses(output, torch.tensor([[[1, 1, 2, 2]]]))
    assert losses["detail"].item() == pytest.approx(math.log(2))
    assert losses["detail_dice"].item() == pytest.approx(0.4)


def test_without_the_head_there_are_no_such_losses():
    with torch.device("meta"):
        network = STDCSeg(2, planes=2, blocks=(1, 1, 1), auxiliary=False)
    assert network.own_losses(SegmenterOutput(torch.zeros(1, 2, 1, 2)), torch.tensor([[[0, 1]]])) == {}


# --- published weights -----------------------------------------------------------------------------------------------


def as_authors_save(network):
    """InPlace-ABN, which all but the encoder has, keeps no counter."""
    state = network.state_dict()
    return {k: v for k, v in state.items() if "backbone" in k or not k.endswith("num_batches_tracked")}


def test_a_negative_scale_of_the_authors_norms_means_a_positive_one():
    state = as_authors_save(STDCSeg(2, planes=2, blocks=(1, 1, 1)))
    state["ffm.convblk.bn.weight"] = torch.linspace(-1, 1, 8)
    state["cp.backbone.features.0.bn.weight"] = torch.tensor([-1.0])
    ours = with_our_norms(state)
    torch.testing.assert_close(ours["ffm.convblk.bn.weight"], torch.linspace(-1, 1, 8).abs() + 1e-5, rtol=0, atol=0)
    assert ours["cp.backbone.features.0.bn.weight"].item() == -1  # a plain one, to the authors too
    assert ours.keys() == state.keys()


@pytest.mark.parametrize("counted", [True, False])
def test_weights_of_plain_norms_stay(counted):
    """Weights of our own training stay, and those of a PyTorch so old that no norm had a counter."""
    state = STDCSeg(2, planes=2, blocks=(1, 1, 1)).state_dict()
    state = {k: -v for k, v in state.items() if counted or not k.endswith("num_batches_tracked")}
    assert all(with_our_norms(state)[key] is value for key, value in state.items())
