"""CLAN: what every method must do, who changes whom, each term by hand, and the traps of its code."""

import dataclasses
import math

import pytest
import torch

from segment.methods.clan import CLAN, CLANSettings, probabilities
from segment.methods.two_classifiers import TwoViews
from segment.networks.segmenter import SegmenterOutput
from tests.method_tester import PerformedUpdate, WatchedUpdate
from tests.segment.methods.adapting import TRAINING, assert_parts_pull_as_the_whole, two_domains
from tests.segment.methods.tester import NUM_CLASSES, SegmenterTrainingTester, TinySegmenter


def clan(training=TRAINING, **settings):
    torch.manual_seed(0)
    return CLAN(TinySegmenter(), training, CLANSettings(discriminator_channels=4, **settings))


def after(steps, method):
    for _ in range(steps):
        method.steps_taken.advance()
    return method


class TestCLAN(SegmenterTrainingTester):
    name = "clan"

    def method(self):
        return clan(adversarial_weight=0.1, plain_share=0.1)

    def batch(self):
        return two_domains()

    def test_each_half_changes_its_own_networks_only(self, small):
        update = WatchedUpdate(small)
        small.step(self.batch(), update)
        expected = {("network",): {"network", "second_classifier"}, ("discriminator",): {"discriminator"}}
        assert update.networks() == expected

    def test_one_gradient_of_all_terms_moves_the_network(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network", "discriminator"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "second", "adversarial", "likeness"}


class TestLightAndLeastSquares(TestCLAN):
    def method(self):
        return clan(discriminator="light", domain_loss="least_squares")


class Unmoved(torch.nn.Module):
    """A discriminator that says log 3 of whatever it sees: three quarters target."""

    def forward(self, classes):
        return classes.mean() * 0 + torch.full((len(classes), 1, 1, 1), math.log(3))


def views(first, second):
    """What two classifiers say of one image of 32x32 pixels, the same at every pixel."""
    maps = [torch.tensor(logits).view(1, -1, 1, 1).expand(1, len(logits), 32, 32) for logits in (first, second)]
    return TwoViews(SegmenterOutput(maps[0]), maps[1], maps[0])


# Probabilities (0.6, 0.8) / 1.4 and (0.8, 0.6) / 1.4, whose cosine is 0.96.
APART = views([math.log(0.6), math.log(0.8)], [math.log(0.8), math.log(0.6)])


def test_all_pixels_count_alike_for_the_first_steps():
    """20 % of 10 steps: steps 0, 1 and 2, since the code asks for "greater than"."""
    method = clan(plain_share=0.2)
    assert (method.local_weights(APART) == 1).all()
    assert (after(2, method).local_weights(APART) == 1).all()
    assert (after(1, method).local_weights(APART) != 1).all()


def test_local_weights_by_hand():
    """0.4 + 40 x (1 - 0.96) = 2."""
    weights = after(5, clan()).local_weights(APART)
    torch.testing.assert_close(weights, torch.full((1, 1, 32, 32), 2.0))


def test_terms_by_hand():
    """At step 5 of 10, half of the damping is left."""
    method = after(5, clan(adversarial_weight=0.1))
    method.discriminator = Unmoved()
    weights = method.local_weights(APART)
    # "Be taken for source": -log(1 - 3/4), twice by the local weight, 0.1 by the setting, half by the damping.
    adversarial = method.adversarial_losses(APART, weights)["adversarial"]
    assert adversarial.item() == pytest.approx(0.1 * 0.5 * 2 * math.log(4), rel=1e-5)
    # The discriminator: -log(1 - 3/4) of the source, twice -log(3/4) of the target; nothing damped, nothing halved.
    losses = method.discriminator_losses(APART, APART, weights)
    assert losses["discriminator_source"].item() == pytest.approx(math.log(4), rel=1e-5)
    assert losses["discriminator_target"].item() == pytest.approx(2 * math.log(4 / 3), rel=1e-5)


def test_likeness_by_hand():
    """Alike: 0.02 x (1 + 1). At step 5 of 10, half of it."""
    method = clan()
    method.second_classifier.classifier.load_state_dict(method.network.main.state_dict())
    assert method.likeness_losses()["likeness"].item() == pytest.approx(0.04)
    assert after(5, method).likeness_losses()["likeness"].item() == pytest.approx(0.02)


def test_what_is_judged_is_the_softmax_of_both_logits_added_up():
    """Logits (0, log 2) and (0, log 2): probabilities 1 to 4. (The mean of both softmaxes would be 1 to 2.)"""
    both = views([0.0, math.log(2)], [0.0, math.log(2)])
    torch.testing.assert_close(probabilities(both)[0, :, 0, 0], torch.tensor([0.2, 0.8]))


def parted_views():
    logits = [torch.randn(1, NUM_CLASSES, 32, 32, requires_grad=True) for _ in range(2)]
    return logits, TwoViews(SegmenterOutput(logits[0]), logits[1], logits[0])


def test_the_network_pays_for_the_disagreement_itself_and_the_discriminator_does_not():
    """The map of weights has a gradient for the one (a discriminator that never changes its mind proves it), and is a
    constant for the other.
    """
    method = after(5, clan())
    method.discriminator = Unmoved()
    logits, target = parted_views()
    weights = method.local_weights(target)
    sum(method.discriminator_losses(target, target, weights).values()).requires_grad_().backward()
    assert logits[0].grad is None and logits[1].grad is None
    method.adversarial_losses(target, weights)["adversarial"].backward()
    before = method.local_weights(target).mean()
    moved = [one.detach() - 1e4 * one.grad for one in logits]
    assert method.local_weights(TwoViews(SegmenterOutput(moved[0]), moved[1], moved[0])).mean() < before


def test_the_network_learns_to_deceive():
    """The sign of the min-max, which the paper has the wrong way round in print."""
    method = clan(adversarial_weight=1.0)
    logits, target = parted_views()
    method.adversarial_losses(target, method.local_weights(target))["adversarial"].backward()
    moved = [one.detach() - 100 * one.grad for one in logits]
    with torch.no_grad():
        before = method.judged(probabilities(target)).mean()
        deceived = method.judged(probabilities(TwoViews(SegmenterOutput(moved[0]), moved[1], moved[0]))).mean()
    assert deceived < before, "target frames look more like source"
    assert all(parameter.grad is None for parameter in method.discriminator.parameters())


def test_damping_follows_the_steps_and_is_never_negative():
    method = clan()
    seen = []
    for _ in range(TRAINING.steps):
        seen.append(method.damping())
        method.steps_taken.advance()
    assert seen == pytest.approx([1 - step / 10 for step in range(10)])


def test_guessing_costs_what_the_guard_takes_for_chance():
    """log 2, whatever the weights of the target's pixels: a final layer of zeros says 0.5 of everything."""
    method = after(3, clan())
    for parameter in list(method.discriminator.modules())[-1].parameters():
        torch.nn.init.zeros_(parameter)
    learnt = method.step(two_domains(), PerformedUpdate(method))
    assert learnt["discriminator_target"].item() != pytest.approx(math.log(2), rel=1e-3)
    assert learnt["discriminator"].item() == pytest.approx(math.log(2), rel=1e-5)
    heard = [method.warnings({"discriminator": learnt["discriminator"].item()}) for _ in range(30)]
    assert heard[:-1] == [[]] * 29 and "cannot tell the domains apart" in heard[-1][0]


def test_target_pixels_that_weigh_nothing_leave_a_number_in_the_log():
    method = after(9, clan(local_weight=0.0, least_local_weight=0.0))
    learnt = method.step(two_domains(), PerformedUpdate(method))
    assert learnt["discriminator_target"].item() == 0
    assert learnt["discriminator"].item() == pytest.approx(0.5 * learnt["discriminator_source"].item())


def test_the_second_classifier_learns_at_the_rate_of_the_heads():
    training = dataclasses.replace(TRAINING, head_learning_rate=10.0)
    method = CLAN(TinySegmenter(), training, CLANSettings(discriminator_channels=4))
    rates = {id(p): group["lr"] for group in method.optimizers()["network"].param_groups for p in group["params"]}
    assert {rates[id(p)] for p in method.second_classifier.parameters()} == {0.5}


def test_normalisation_of_the_second_classifier_is_frozen_with_the_rest():
    class Normalised(TinySegmenter):
        def __init__(self):
            super().__init__()
            self.main = torch.nn.Sequential(torch.nn.BatchNorm2d(8), self.main)

    training = dataclasses.replace(TRAINING, batch_norm="frozen")
    method = CLAN(Normalised(), training, CLANSettings(discriminator_channels=4)).train()
    norm = method.second_classifier.classifier[0]
    assert not norm.training and not norm.weight.requires_grad


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    assert_parts_pull_as_the_whole(lambda training: after(3, clan(training)), two_domains())


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match="adversarial_weight is 0; it must be above 0"):
        CLANSettings(adversarial_weight=0)
