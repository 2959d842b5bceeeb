"""Longer features: the loss by hand and its sign, how it rides on a pass, how its weight falls."""

import pytest
import torch

from segment.adaptation.feature_norm import FeatureNorm, FeatureNormSettings, feature_norms, stepwise_norm, with_loss
from segment.networks.segmenter import SegmenterOutput


def test_norms_are_taken_over_channels_at_each_place():
    features = torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]])
    torch.testing.assert_close(feature_norms(features), torch.tensor([[[5.0, 2.0]]]))
    assert feature_norms(features.bfloat16()).dtype == torch.float32


def test_the_loss_is_a_constant_and_its_gradient_makes_features_longer():
    """Norms 5 and 2, increment 1/2: the value is 1/4 for any features. The gradient with respect to each of both norms
    is -2 x 1/2 / 2, shared out along the feature: (3, 4) / 5 and (0, 2) / 2."""
    features = torch.tensor([[[[3.0, 0.0]], [[4.0, 2.0]]]], requires_grad=True)
    loss = stepwise_norm(feature_norms(features), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(0.25)
    torch.testing.assert_close(features.grad, torch.tensor([[[[-0.3, 0.0]], [[-0.4, -0.5]]]]))


def test_a_feature_of_zero_has_no_direction_and_no_gradient():
    features = torch.zeros(1, 2, 1, 1, requires_grad=True)
    stepwise_norm(feature_norms(features), 0.5).backward()
    assert torch.equal(features.grad, torch.zeros(1, 2, 1, 1))


@pytest.mark.parametrize(
    ("steps_taken", "damping", "factor"), [(0, 1.5, 1), (4, 1.5, 0.4), (8, 1.5, 0), (10, 1.5, 0), (8, 0.0, 1)]
)
def test_the_weight_falls_to_zero_and_never_below(steps_taken, damping, factor):
    """1 - 1.5 x 8/10 is -0.2, which would shorten the features: the published code does."""
    norm = FeatureNorm(FeatureNormSettings(weight=2.0, damping=damping), steps=10)
    for _ in range(steps_taken):
        norm.follow()
    assert norm.weight() == pytest.approx(2 * factor)


def test_the_mean_norm_of_each_domain_is_noted():
    norm = FeatureNorm(FeatureNormSettings(weight=0.5, increment=0.2), steps=10)
    assert norm.observed() == {}
    loss = norm.loss(torch.full((1, 4, 2, 2), 3.0), "source")  # norm sqrt(4 x 9)
    norm.loss(torch.full((1, 4, 2, 2), 1.0, requires_grad=True), "target")
    assert loss.item() == pytest.approx(0.5 * 0.2**2)
    assert {name: value.item() for name, value in norm.observed().items()} == {
        "feature_norm/source": 6.0, "feature_norm/target": 2.0
    }  # fmt: skip
    assert not norm.observed()["feature_norm/target"].requires_grad


@pytest.mark.parametrize("used", [("main",), ("auxiliary",), ("main", "auxiliary", "boundary")])
def test_a_loss_that_an_output_carries_counts_once_whichever_heads_are_learnt_from(used):
    weight = torch.tensor(2.0, requires_grad=True)
    logits = torch.ones(3, requires_grad=True)
    output = with_loss(SegmenterOutput(1 * logits, (2 * logits,), 3 * logits), 5 * weight)
    parts = {"main": output.main, "auxiliary": output.auxiliary[0], "boundary": output.boundary}
    assert torch.equal(output.main, logits) and torch.equal(output.boundary, 3 * logits)
    sum(parts[name].sum() for name in used).backward()
    assert weight.grad.item() == 5
    scale = sum({"main": 1, "auxiliary": 2, "boundary": 3}[name] for name in used)
    assert torch.equal(logits.grad, torch.full((3,), float(scale)))


def test_an_output_without_further_heads_carries_too():
    weight = torch.tensor(2.0, requires_grad=True)
    output = with_loss(SegmenterOutput(torch.ones(1, requires_grad=True)), weight)
    assert output.auxiliary == () and output.boundary is None
    output.main.sum().backward()
    assert weight.grad.item() == 1


def test_settings_are_refused_at_construction():
    with pytest.raises(ValueError, match="weight is 0; it must be above 0"):
        FeatureNormSettings(weight=0)
    with pytest.raises(ValueError, match="damping is -1; it must be at least 0"):
        FeatureNormSettings(damping=-1)
