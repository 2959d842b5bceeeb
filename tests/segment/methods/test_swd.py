"""SWD: what every method must do, which of its three steps changes what, and which way each of them pushes."""

import pytest
import torch

from segment.methods.swd import SWD, SWDSettings
from tests.method_tester import PerformedUpdate, WatchedUpdate
from tests.segment.methods.adapting import TRAINING, assert_parts_pull_as_the_whole, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter

CLASSIFIERS = {"network.main.weight", "network.main.bias"} | {
    "second_classifier.classifier.weight",
    "second_classifier.classifier.bias",
}


def swd(network=TinySegmenter, training=TRAINING, **settings):
    torch.manual_seed(0)
    return SWD(network(), training, SWDSettings(projections=16, **settings))


class TestSWD(SegmenterTrainingTester):
    name = "swd"

    def method(self):
        return swd(pixels=100)

    def batch(self):
        return two_domains()

    def test_each_of_the_three_steps_changes_what_it_may(self, small):
        update = WatchedUpdate(small)
        small.step(self.batch(), update)
        changes = {step: {name for name in names if "running" not in name} for step, names in update.changes.items()}
        assert list(changes) == [("network", "classifiers"), ("classifiers",), ("network",)]
        assert changes["network", "classifiers"] > CLASSIFIERS
        assert changes["classifiers",] == CLASSIFIERS
        assert changes["network",] and not changes["network",] & CLASSIFIERS

    def test_the_losses_of_each_step(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [set(losses) for _, losses in update.calls] == [
            {"main", "auxiliary", "second"},  # which both optimizers took
            {"main", "auxiliary", "second"},
            {"classifiers", "agreement"},
            {"discrepancy"},
            *({f"discrepancy_{number}"} for number in range(2, small.settings.encoder_steps + 1)),
        ]


class TestSeveralEncoderSteps(TestSWD):
    def method(self):
        return swd(encoder_steps=3)


def discrepancy(method, image):
    with torch.no_grad():
        return method.discrepancy(method.network.with_features(image)[1]).item()


def test_the_second_step_drives_the_classifiers_apart_and_the_third_brings_them_together():
    """The signs: with that of the second one wrong, all three would do the same."""
    method, target = swd().train(), two_domains().target
    features = method.network.with_features(target)[1]
    before = method.discrepancy(features.detach()).item()
    for _ in range(3):
        method.optimizers()["classifiers"].zero_grad()
        known = torch.zeros_like(features)
        unlabelled = torch.full((2, 32, 32), 255)
        losses = method.classifier_losses(known, unlabelled, features.detach())
        assert losses["classifiers"].item() == 0 and losses["agreement"] < 0
        sum(losses.values()).backward()
        method.optimizers()["classifiers"].step()
    apart = method.discrepancy(features.detach()).item()
    assert apart > before

    loss = method.encoder_losses(features)["discrepancy"]
    loss.backward()
    method.optimizers()["network"].step()
    assert discrepancy(method, target) < apart


def test_classifiers_that_agree_have_no_discrepancy_and_the_weight_multiplies():
    method, features = swd(discrepancy_weight=4.0), torch.rand(1, 8, 4, 4)  # a power of two: no product rounds
    assert method.encoder_losses(features)["discrepancy"].item() == 4 * method.discrepancy(features).item() > 0
    method.second_classifier.classifier.load_state_dict(method.network.main.state_dict())
    assert method.discrepancy(features).item() == 0


def test_draws_follow_from_the_step_and_from_nothing_else():
    """Two processes have other random numbers, and must look along the same directions."""
    method, features = swd(pixels=3), torch.rand(1, 8, 4, 4)
    torch.manual_seed(1)
    first = method.discrepancy(features)
    torch.manual_seed(2)
    assert torch.equal(method.discrepancy(features), first)
    method.steps_taken.advance()
    assert not torch.equal(method.discrepancy(features), first)


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    assert_parts_pull_as_the_whole(lambda training: swd(training=training, pixels=50), two_domains())


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match="projections is 0; it must be above 0"):
        SWDSettings(projections=0)
