"""AdaptSegNet: what every method must do, who changes whom, the terms by hand, single and multi level."""

import math

import pytest
import torch

from segment.methods.adaptsegnet import AdaptSegNet, AdaptSegNetSettings
from segment.networks.segmenter import SegmenterOutput
from tests.method_tester import PerformedUpdate, WatchedUpdate
from tests.segment.methods.adapting import TRAINING, two_domains
from tests.segment.methods.tester import NUM_CLASSES, SegmenterTrainingTester, TinySegmenter, WithoutAuxiliary

MULTI = {"adversarial_weight": 0.1, "auxiliary_adversarial_weight": 0.02}


def adaptsegnet(network=TinySegmenter, **settings):
    torch.manual_seed(0)
    return AdaptSegNet(network(), TRAINING, AdaptSegNetSettings(discriminator_channels=4, **settings))


class TestSingleLevel(SegmenterTrainingTester):
    name = "adaptsegnet"

    def method(self):
        return adaptsegnet(adversarial_weight=0.1)

    def batch(self):
        return two_domains()

    def test_each_half_changes_its_own_networks_only(self, small):
        update = WatchedUpdate(small)
        small.step(self.batch(), update)
        assert update.networks() == {("network",): {"network"}, ("discriminators",): {"discriminators"}}

    def test_one_gradient_of_both_domains_moves_the_network(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network", "discriminators"]
        assert {"main", "auxiliary", "adversarial_main"} == update.calls[0][1].keys()


class TestMultiLevel(TestSingleLevel):
    def method(self):
        return adaptsegnet(discriminator="light", domain_loss="least_squares", **MULTI)

    def test_one_gradient_of_both_domains_moves_the_network(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        expected = {"main", "auxiliary", "adversarial_main", "adversarial_auxiliary"}
        assert expected == update.calls[0][1].keys()
        assert {"discriminator_main", "discriminator_auxiliary"} == update.calls[1][1].keys()


class Unmoved(torch.nn.Module):
    """A discriminator that says log 3 of whatever it sees: three quarters target."""

    def forward(self, probabilities):
        return probabilities.mean() * 0 + torch.full((1, 1, 1, 1), math.log(3))


def test_terms_by_hand():
    method = adaptsegnet(adversarial_weight=0.5)
    method.discriminators["main"] = Unmoved()
    output = SegmenterOutput(torch.zeros(1, NUM_CLASSES, 32, 32))
    # "Be taken for source": -log(1 - 3/4), times the weight.
    assert method.adversarial_losses(output)["adversarial_main"].item() == pytest.approx(0.5 * math.log(4))
    # Half of -log(1 - 3/4) for the source, half of -log(3/4) for the target.
    expected = 0.5 * math.log(4) + 0.5 * math.log(4 / 3)
    assert method.discriminator_losses(output, output)["discriminator_main"].item() == pytest.approx(expected)


def test_the_network_learns_to_deceive_and_the_discriminator_to_see():
    """The signs of the min-max, which two papers have the wrong way round in print."""
    method = adaptsegnet(adversarial_weight=1.0)
    logits = torch.randn(1, NUM_CLASSES, 32, 32, requires_grad=True)
    method.adversarial_losses(SegmenterOutput(logits))["adversarial_main"].backward()
    judge = method.discriminators["main"]
    with torch.no_grad():
        before = judge(logits.softmax(1)).mean()
        after = judge((logits - 100 * logits.grad).softmax(1)).mean()
    assert after < before, "target frames look more like source"
    assert all(parameter.grad is None for parameter in judge.parameters())


def test_a_multi_level_form_needs_a_second_head():
    with pytest.raises(ValueError, match="auxiliary_adversarial_weight is above 0, and the network has no auxiliary"):
        adaptsegnet(WithoutAuxiliary, **MULTI)


def test_no_weight_at_all_is_refused():
    with pytest.raises(ValueError, match="set adversarial_weight or auxiliary_adversarial_weight above 0"):
        AdaptSegNetSettings(adversarial_weight=0)
