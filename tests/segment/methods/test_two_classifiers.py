"""A second classifier beside the network's own: what both say from one pass, what it learns by, at which rate."""

import dataclasses

import pytest
import torch

from segment.losses import cross_entropy
from segment.methods.two_classifiers import TwoClassifiers, TwoViews
from tests.segment.methods.adapting import TRAINING, two_domains
from tests.segment.methods.tester import NUM_CLASSES, TinySegmenter


class Compared(TwoClassifiers):
    """A method that does nothing with what it hears."""

    def step(self, batch, update):
        return {}


def compared(**training):
    torch.manual_seed(0)
    return Compared(TinySegmenter(), dataclasses.replace(TRAINING, **training), None)


def test_both_see_the_same_features_and_speak_at_the_images_size():
    method, image = compared().train(), torch.rand(2, 3, 16, 32)
    views = method.views(image, "source")
    assert views.output.main.shape == views.second.shape == (2, NUM_CLASSES, 16, 32)
    assert views.features.shape == (2, 8, 8, 16)
    expected = torch.nn.functional.interpolate(method.second_classifier(views.features), (16, 32), mode="bilinear")
    torch.testing.assert_close(views.second, expected)
    assert not torch.equal(views.second, views.output.main)  # weights of its own


def test_the_second_learns_the_labels_by_the_same_loss():
    """Logits 0 for three classes: log 3 for each pixel, whatever its label."""
    method, batch = compared().train(), two_domains().source
    views = method.views(batch.image, "source")
    silent = TwoViews(views.output, torch.zeros(2, NUM_CLASSES, 32, 32), views.features)
    losses = method.losses_of_both(silent, batch.label_map)
    assert set(losses) == {"main", "auxiliary", "second"}
    assert losses["second"].item() == pytest.approx(1.098612)
    torch.testing.assert_close(losses["main"], cross_entropy(views.output.main, batch.label_map))


def test_the_second_learns_at_the_rate_of_the_heads_by_the_networks_optimizer():
    method = compared(learning_rate=0.02, head_learning_rate=10.0, weight_decay=0.25)
    own = {id(parameter) for parameter in method.second_classifier.parameters()}
    groups = method.optimizers()["network"].param_groups
    found = [(g["lr"], g["weight_decay"]) for g in groups if own & {id(parameter) for parameter in g["params"]}]
    assert found == [pytest.approx((0.2, 0.25)), pytest.approx((0.2, 0.0))]  # its weights, its biases


def test_what_is_evaluated_knows_no_second_classifier():
    method = compared(ema_decay=0.5)
    assert not [key for key in method.evaluated_network().state_dict() if "second" in key]
    assert [key for key in method.state_dict() if key.startswith("second_classifier.")]


def test_normalisation_in_the_second_is_frozen_with_the_networks():
    class Normalising(TinySegmenter):
        """Classifies by a normalisation and a convolution."""

        def __init__(self):
            super().__init__()
            self.main = torch.nn.Sequential(torch.nn.BatchNorm2d(8), self.main)

    for batch_norm in ("frozen", "batch"):
        method = Compared(Normalising(), dataclasses.replace(TRAINING, batch_norm=batch_norm), None).train()
        norms = [method.network.main[0], method.second_classifier.classifier[0]]
        assert [norm.training for norm in norms] == [batch_norm == "batch"] * 2
