"""MinEnt: what every method must do, its terms by hand, and that it makes the network sure."""

import pytest
import torch

from segment.adaptation.feature_norm import FeatureNormSettings
from segment.methods.minent import MinEnt, MinEntSettings
from segment.networks.segmenter import SegmenterOutput
from tests.method_tester import PerformedUpdate
from tests.segment.methods.adapting import (
    TRAINING,
    assert_a_collapse_is_named,
    assert_parts_pull_as_the_whole,
    two_domains,
)
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter, WithoutAuxiliary


def minent(training=TRAINING, feature_norm=None, **settings):
    torch.manual_seed(0)
    return MinEnt(TinySegmenter(), training, MinEntSettings(**settings), feature_norm=feature_norm)


class TestSingleLevel(SegmenterTrainingTester):
    name = "minent"

    def method(self):
        return minent(entropy_weight=0.1)

    def batch(self):
        return two_domains()

    def test_one_gradient_of_both_domains_moves_the_network(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() - {"entropy_auxiliary"} == {"main", "auxiliary", "entropy_main"}


class TestMultiLevel(TestSingleLevel):
    def method(self):
        return minent(entropy_weight=0.1, auxiliary_entropy_weight=0.02)


def test_the_terms_by_hand():
    """All classes alike in the main head: entropy 1. (1/2, 1/2, 0) in the other: ln 2 / ln 3 = 0.6309."""
    halves = torch.tensor([0.0, 0.0, -200.0]).view(1, 3, 1, 1)
    losses = minent(auxiliary_entropy_weight=0.5).entropy_losses(SegmenterOutput(torch.zeros(1, 3, 2, 2), (halves,)))
    assert losses["entropy_main"].item() == pytest.approx(0.001)
    assert losses["entropy_auxiliary"].item() == pytest.approx(0.5 * 0.6309298)


def test_the_network_becomes_surer_of_the_target():
    method, batch = minent(entropy_weight=1.0).train(), two_domains()

    def sureness():
        return method.network.eval()(batch.target).softmax(1).max(1).values.mean().item()

    before = sureness()
    for _ in range(10):
        method.train().step(batch, PerformedUpdate(method))
    assert sureness() > before


def test_a_collapse_on_the_target_is_seen_and_named():
    assert_a_collapse_is_named(minent(), two_domains(), "entropy_weight")


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    norm, settings = FeatureNormSettings(weight=0.5), {"entropy_weight": 0.1, "auxiliary_entropy_weight": 0.02}
    assert_parts_pull_as_the_whole(lambda training: minent(training, norm, **settings), two_domains())


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match=r"entropy_weight is 0; it must be above 0"):
        MinEntSettings(entropy_weight=0)
    with pytest.raises(ValueError, match="auxiliary_entropy_weight is above 0, and the network has no auxiliary head"):
        MinEnt(WithoutAuxiliary(), TRAINING, MinEntSettings(auxiliary_entropy_weight=0.0002))
