"""MaxSquare: what every method must do, its term by hand, and that it makes the network sure."""

import pytest
import torch

from segment.methods.maxsquare import MaxSquare, MaxSquareSettings
from tests.method_tester import PerformedUpdate
from tests.segment.methods.adapting import TRAINING, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def maxsquare(**settings):
    torch.manual_seed(0)
    return MaxSquare(TinySegmenter(), TRAINING, MaxSquareSettings(**settings))


class TestMaxSquare(SegmenterTrainingTester):
    name = "maxsquare"

    def method(self):
        return maxsquare()

    def batch(self):
        return two_domains()


class TestImageWise(TestMaxSquare):
    def method(self):
        return maxsquare(image_wise=True)


def test_the_term_by_hand():
    """All classes alike, K = 3: the mean square is 1/9, so minus 0.1 x 1/18."""
    loss = maxsquare().certainty_losses(torch.zeros(1, 3, 2, 2))["certainty"]
    assert loss.item() == pytest.approx(-0.1 / 18)


def test_the_image_wise_term_by_hand():
    """Argmax is class 0 in all 4 pixels: weights 1 / (4^0.2 x 4^0.8) = 1/4; sum 4 x 3/9 x 1/4, over K = 3."""
    loss = maxsquare(image_wise=True).certainty_losses(torch.zeros(1, 3, 2, 2))["certainty"]
    assert loss.item() == pytest.approx(-0.1 * (1 / 3) / 3)


def test_the_network_becomes_surer_of_the_target():
    method, batch = maxsquare(certainty_weight=5.0).train(), two_domains()

    def sureness():
        return method.network.eval()(batch.target).softmax(1).max(1).values.mean().item()

    before = sureness()
    for _ in range(10):
        method.train().step(batch, PerformedUpdate(method))
    assert sureness() > before


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match=r"certainty_weight is 0; it must be above 0"):
        MaxSquareSettings(certainty_weight=0)
    with pytest.raises(ValueError, match="MaxSquare takes MaxSquareSettings, got None"):
        MaxSquare(TinySegmenter(), TRAINING)
