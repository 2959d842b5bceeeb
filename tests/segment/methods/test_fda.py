"""FDA: what every method must do, when the entropy counts and how much, and that labels stay with their frames."""

import pytest
import torch

from segment.adaptation.feature_norm import FeatureNormSettings
from segment.appearance.style import transfer_amplitude
from segment.batches import AdaptationBatch, LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.methods.fda import FDA, FDASettings
from tests.method_tester import PerformedUpdate
from tests.segment.methods.adapting import (
    TRAINING,
    assert_a_collapse_is_named,
    assert_parts_pull_as_the_whole,
    two_domains,
)
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def fda(training=TRAINING, feature_norm=None, **settings):
    torch.manual_seed(0)
    return FDA(TinySegmenter(), training, FDASettings(**settings), feature_norm=feature_norm)


class TestFDA(SegmenterTrainingTester):
    name = "fda"

    def method(self):
        return fda(window=0.1, entropy_weight=0.5, entropy_start=0.1)

    def batch(self):
        return two_domains()

    def test_the_entropy_joins_in_after_its_share_of_the_steps(self, small):
        """One step of ten without it."""
        terms = []
        for _ in range(3):
            update = PerformedUpdate(small)
            small.step(self.batch(), update)
            ((name, losses),) = update.calls
            terms.append((name, set(losses) - {"auxiliary"}))
        assert terms == [("network", {"main"})] + 2 * [("network", {"main", "entropy"})]


def test_the_exchange_alone_looks_at_no_target_frame_with_the_network():
    method = fda(entropy_weight=0, entropy_start=0).train()
    logged = method.step(two_domains(), PerformedUpdate(method))
    assert logged.keys() == {"main", "auxiliary"} and method.network.features[1].num_batches_tracked == 1


def test_the_term_by_hand():
    """All classes alike, K = 3: entropy 1, not ln 3 / ln 19; (1 + 1e-8) squared, times the weight."""
    assert fda().entropy_losses(torch.zeros(1, 3, 2, 2))["entropy"].item() == pytest.approx(0.005)


def test_source_frames_get_the_light_of_the_target_and_keep_labels_and_margin():
    method, batch = fda(window=0.1), two_domains()
    label_map = batch.source.label_map.clone()
    image = batch.source.image.clone() * 0.5 + 0.2
    image[:, :, 24:], label_map[:, 24:] = 0, IGNORE_INDEX
    lit = method.in_target_style(batch.target, LabelledBatch(image, label_map))
    assert torch.equal(lit.label_map, label_map) and (lit.image[:, :, 24:] == 0).all()
    counted = torch.ones(2, 32, 32, dtype=torch.bool)
    counted[:, 24:] = False
    torch.testing.assert_close(lit.image, transfer_amplitude(image, batch.target, 0.1, counted))
    assert (lit.image - image).abs().max() > 0.02


def test_the_network_learns_from_the_frames_in_that_light():
    """Two targets, one step without entropy: other light, other weights."""
    ends = []
    for brightness in (0.2, 0.9):
        method, batch = fda(window=0.0).train(), two_domains()
        target = torch.full_like(batch.target, brightness)
        method.step(AdaptationBatch(batch.source, target), PerformedUpdate(method))
        ends.append(method.network.features[0].weight.detach())
    assert not torch.equal(*ends)


def test_a_collapse_on_the_target_is_seen_and_named():
    assert_a_collapse_is_named(fda(entropy_start=0), two_domains(), "entropy_weight")


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    norm, settings = FeatureNormSettings(weight=0.5), {"window": 0.1, "entropy_weight": 0.5, "entropy_start": 0}
    assert_parts_pull_as_the_whole(lambda training: fda(training, norm, **settings), two_domains())


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match=r"window is 0.5; it must be below 0.5"):
        FDASettings(window=0.5)
    with pytest.raises(ValueError, match=r"entropy_power is 0; it must be above 0"):
        FDASettings(entropy_power=0)
