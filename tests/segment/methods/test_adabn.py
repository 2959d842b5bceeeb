"""AdaBN: what every method must do, whose statistics move, and that the target teaches the weights nothing."""

import dataclasses

import pytest
import torch
from torch import nn

from segment.adaptation.feature_norm import FeatureNormSettings
from segment.batches import AdaptationBatch
from segment.methods.adabn import AdaBN, AdaBNSettings
from segment.methods.supervised import Supervised
from tests.method_tester import PerformedUpdate
from tests.segment.methods.adapting import TRAINING, two_domains
from tests.segment.methods.tester import SegmenterTrainingTester, TinySegmenter


def adabn(training=TRAINING, **settings):
    torch.manual_seed(0)
    return AdaBN(TinySegmenter(), training, AdaBNSettings(**settings))


def statistics_of(method):
    normalisation = method.network.features[1]
    return normalisation.running_mean.clone(), normalisation.running_var.clone()


def followed(statistics, network, *images):
    """By hand: a tenth of the way towards the statistics of each batch, as PyTorch's momentum has it."""
    mean, variance = statistics
    for image in images:
        features = network.features[0]((image - network.image_mean) / network.image_std)
        mean = 0.9 * mean + 0.1 * features.mean((0, 2, 3))
        variance = 0.9 * variance + 0.1 * features.var((0, 2, 3))
    return mean, variance


class TestAdaBN(SegmenterTrainingTester):
    name = "adabn"

    def method(self):
        return adabn()

    def batch(self):
        return two_domains()

    def test_longer_features_are_asked_for_in_both_domains_by_one_setting(self):
        """They would be learnt from target frames."""
        with pytest.raises(ValueError, match="adabn learns nothing from target frames, and feature_norm would"):
            AdaBN(TinySegmenter(), TRAINING, AdaBNSettings(), feature_norm=FeatureNormSettings())


class TestBoth(TestAdaBN):
    def method(self):
        return adabn(statistics="both")


@pytest.mark.parametrize("statistics", ["target", "both"])
def test_the_statistics_are_those_of_the_frames_they_should_follow(statistics):
    method, batch = adabn(statistics=statistics).train(), two_domains()
    shown = [batch.target] if statistics == "target" else [batch.source.image, batch.target]
    with torch.no_grad():
        expected = followed(statistics_of(method), method.network, *shown)
    method.step(batch, PerformedUpdate(method))
    torch.testing.assert_close(statistics_of(method), expected)


def test_the_weights_learn_what_supervised_ones_do_whatever_the_target_shows():
    batch = two_domains()
    torch.manual_seed(0)
    supervised = Supervised(TinySegmenter(), TRAINING).train()
    supervised.step(batch.source, PerformedUpdate(supervised))
    for target in (batch.target, 1 - batch.target):
        method = adabn().train()
        method.step(AdaptationBatch(batch.source, target), PerformedUpdate(method))
        for name, parameter in supervised.network.named_parameters():
            assert torch.equal(parameter, method.network.get_parameter(name)), name


def test_what_leaves_nothing_to_move_is_refused_at_construction():
    with pytest.raises(ValueError, match='batch_norm is "frozen"'):
        adabn(dataclasses.replace(TRAINING, batch_norm="frozen"))
    without = TinySegmenter()
    without.features[1] = nn.Identity()
    with pytest.raises(ValueError, match="and the network has none"):
        AdaBN(without, TRAINING, AdaBNSettings())
