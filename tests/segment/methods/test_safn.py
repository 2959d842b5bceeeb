"""SAFN: what every method must do, and that features grow in both domains."""

import pytest
import torch

from segment.methods.safn import SAFN, SAFNSettings
from tests.method_tester import PerformedUpdate
from tests.segment.methods.adapting import TRAINING, assert_parts_pull_as_the_whole, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def safn(training=TRAINING, **settings):
    torch.manual_seed(0)
    return SAFN(TinySegmenter(), training, SAFNSettings(**settings))


class TestSAFN(SegmenterTrainingTester):
    name = "safn"

    def method(self):
        return safn(weight=0.1)

    def batch(self):
        return two_domains()

    def test_one_gradient_of_both_domains_moves_the_network(self, small):
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "norm_source", "norm_target"}

    def test_the_loss_by_hand(self, small):
        """0.1 x 0.12 squared in each domain at the first of ten steps; after five 1 - 1.5/2 of it."""
        features = torch.rand(1, 8, 4, 4)
        assert small.norm_losses(features, "target")["norm_target"].item() == pytest.approx(0.1 * 0.0144)
        for _ in range(5):
            small.feature_norm.follow()
        assert small.norm_losses(features, "source")["norm_source"].item() == pytest.approx(0.1 * 0.0144 / 4)


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    assert_parts_pull_as_the_whole(lambda training: safn(training, weight=0.5), two_domains())


def test_features_grow_in_both_domains():
    """Beside the same training with next to no weight on the norm."""
    ends = []
    for weight in (1e-9, 5.0):
        method = safn(weight=weight, damping=0.0).train()
        for _ in range(10):
            method.step(two_domains(), PerformedUpdate(method))
        ends.append({name: value.item() for name, value in method.observed().items()})
    plain, longer = ends
    assert all(longer[name] > 1.1 * plain[name] for name in ("feature_norm/source", "feature_norm/target"))
