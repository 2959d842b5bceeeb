"""MaxSquare: what every method must do, its term by hand, and that it makes the network sure."""

import pytest
import torch

from segment.adaptation.feature_norm import FeatureNormSettings
from segment.adaptation.guards import Collapsed
from segment.methods.maxsquare import MaxSquare, MaxSquareSettings
from tests.method_tester import GatheredGradients, PerformedUpdate
from tests.segment.methods.adapting import (
    TRAINING,
    assert_a_collapse_is_named,
    assert_parts_pull_as_the_whole,
    two_domains,
)
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter, WithoutAuxiliary


def maxsquare(training=TRAINING, feature_norm=None, **settings):
    torch.manual_seed(0)
    return MaxSquare(TinySegmenter(), training, MaxSquareSettings(**settings), feature_norm=feature_norm)


class TestMaxSquare(SegmenterTrainingTester):
    name = "maxsquare"

    def method(self):
        return maxsquare()

    def batch(self):
        return two_domains()


class TestImageWise(TestMaxSquare):
    def method(self):
        return maxsquare(image_wise=True)


class TestMultiLevel(TestMaxSquare):
    """A tiny network is never sure to 0.95."""

    def method(self):
        return maxsquare(image_wise=True, guidance_weight=0.5, guidance_threshold=0.4)

    def test_one_gradient_of_all_terms_moves_the_network(self, small):
        update = PerformedUpdate(small)
        logged = small.step(self.batch(), update)
        assert [name for name, _ in update.calls] == ["network"]
        assert update.calls[0][1].keys() == {"main", "auxiliary", "certainty", "guidance"}
        assert 0 < logged["guided_share"] <= 1

    def test_guidance_is_learnt_by_the_auxiliary_head_and_not_by_the_main_one(self):
        """In the paper labels are constants: nothing flows into the head that helped to make them."""
        gradients = []
        for weight in (0.5, 5.0):
            method = maxsquare(guidance_weight=weight, guidance_threshold=0.4).train()
            update = GatheredGradients(method)
            method.step(self.batch(), update)
            gradients.append(update.found)
        assert torch.equal(gradients[0]["network.main.weight"], gradients[1]["network.main.weight"])
        assert not torch.equal(gradients[0]["network.auxiliary.weight"], gradients[1]["network.auxiliary.weight"])

    def test_nothing_is_learnt_where_no_head_is_sure(self):
        method = maxsquare(guidance_weight=0.5, guidance_threshold=1.0).train()
        logged = method.step(self.batch(), PerformedUpdate(method))
        assert logged["guidance"] == 0 and logged["guided_share"] == 0


def test_the_guidance_by_hand():
    """Labels 1 and none, logits that say (1/4, 1/2, 1/4): ln 2, times the weight."""
    logits = torch.tensor([0.25, 0.5, 0.25]).log().view(1, 3, 1, 1).expand(1, 3, 1, 2)
    losses = maxsquare(guidance_weight=0.5).guidance_losses(logits, torch.tensor([[[1, 255]]]))
    assert losses["guidance"].item() == pytest.approx(0.5 * 0.6931472)


def test_a_multi_level_form_needs_a_second_head():
    with pytest.raises(ValueError, match="guidance_weight is above 0, and the network has no auxiliary head; set it"):
        MaxSquare(WithoutAuxiliary(), TRAINING, MaxSquareSettings(guidance_weight=0.009))


def test_the_term_by_hand():
    """All classes alike, K = 3: the mean square is 1/9, so minus 0.1 x 1/18."""
    loss = maxsquare().certainty_losses(torch.full((1, 3, 2, 2), 1 / 3))["certainty"]
    assert loss.item() == pytest.approx(-0.1 / 18)


def test_the_image_wise_term_by_hand():
    """Argmax is class 0 in all 4 pixels: weights 1 / (4^0.2 x 4^0.8) = 1/4; sum 4 x 3/9 x 1/4, over K = 3."""
    loss = maxsquare(image_wise=True).certainty_losses(torch.full((1, 3, 2, 2), 1 / 3))["certainty"]
    assert loss.item() == pytest.approx(-0.1 * (1 / 3) / 3)


def test_the_network_becomes_surer_of_the_target():
    method, batch = maxsquare(certainty_weight=5.0).train(), two_domains()

    def sureness():
        return method.network.eval()(batch.target).softmax(1).max(1).values.mean().item()

    before = sureness()
    for _ in range(10):
        method.train().step(batch, PerformedUpdate(method))
    assert sureness() > before


def test_a_collapse_on_the_target_is_seen_and_named():
    assert_a_collapse_is_named(maxsquare(), two_domains(), "certainty_weight")


def test_a_collapse_is_seen_across_a_resume():
    """Five looks before it and five after it make the ten that it takes, if the class shares were healthy before."""
    healthy, fallen = {"target_share/0": 0.6, "target_share/1": 0.4}, {"target_share/0": 0.99, "target_share/1": 0.01}
    resumed = maxsquare()
    resumed.recall([healthy, *[fallen] * 5])
    assert [resumed.warnings(fallen) for _ in range(4)] == [[]] * 4
    with pytest.raises(Collapsed, match="lower certainty_weight"):
        resumed.warnings(fallen)
    resumed.recall([])
    assert [resumed.warnings(fallen) for _ in range(20)] == [[]] * 20


def test_parts_of_a_batch_have_the_gradients_of_the_whole():
    """With a threshold that every pixel reaches: guidance is a mean over those that do."""
    norm, guidance = FeatureNormSettings(weight=0.5), {"guidance_weight": 0.5, "guidance_threshold": 0.3}

    def made(training):
        return maxsquare(training, norm, image_wise=True, **guidance)

    assert_parts_pull_as_the_whole(made, two_domains())


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match=r"certainty_weight is 0; it must be above 0"):
        MaxSquareSettings(certainty_weight=0)
    with pytest.raises(ValueError, match=r"rarity_power is -1.5; it must be at least -1"):
        MaxSquareSettings(rarity_power=-1.5)
    assert MaxSquareSettings(rarity_power=-0.2).rarity_power == -0.2, "the code's, from SYNTHIA"
    with pytest.raises(ValueError, match="MaxSquare takes MaxSquareSettings, got None"):
        MaxSquare(TinySegmenter(), TRAINING, None)
