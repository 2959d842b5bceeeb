"""Losses over scales and layers, each worked out on paper."""

import pytest
import torch

from translate.multiscale_losses import adversarial_loss, discriminator_loss, feature_matching


def constant(value, *shape):
    return torch.full(shape or (1, 1, 2, 2), float(value))


def judged(*scales):
    """One list of constant layers per scale; the last is the judgement."""
    return [[constant(value) for value in layers] for layers in scales]


def test_adversarial_loss_sums_over_scales():
    # (0.5 - 1)^2 + (0.8 - 1)^2 = 0.25 + 0.04
    assert adversarial_loss(judged([9, 0.5], [9, 0.8])).item() == pytest.approx(0.29)


def test_discriminator_loss_sums_over_scales_and_is_halved():
    # real: (0.9 - 1)^2 + (0.5 - 1)^2 = 0.26; fake: 0.2^2 + 0.4^2 = 0.2
    assert discriminator_loss(judged([0.9], [0.5]), judged([0.2], [0.4])).item() == pytest.approx(0.23)


def test_feature_matching_by_hand():
    # Distances 1, 2 at full resolution, 0.5, 0.5 at half, judgements (77, 99) left out; times 4 / 2 layers / 2 scales.
    fake, real = judged([0, 0, 77], [1, 1, 77]), judged([1, -2, 99], [1.5, 0.5, 99])
    assert feature_matching(fake, real).item() == pytest.approx(4.0)


def test_feature_matching_weighs_four_layers_by_one():
    # n_layers 3 has four maps to match: 4 / (n_layers + 1) = 1, so each scale's layers are simply added.
    fake, real = judged([0] * 5), judged([1] * 5)
    assert feature_matching(fake, real).item() == pytest.approx(4.0)


def test_feature_matching_teaches_the_generator_alone():
    fake, real = ([[torch.rand(1, 1, 2, 2, requires_grad=True), constant(0)]] for _ in range(2))
    feature_matching(fake, real).backward()
    assert fake[0][0].grad.abs().sum() > 0 and real[0][0].grad is None


def test_feature_matching_refuses_other_depths():
    with pytest.raises(ValueError, match="shorter"):
        feature_matching(judged([0, 0, 0]), judged([0, 0]))


def test_losses_are_float32_in_bfloat16():
    half = [[layer.bfloat16() for layer in layers] for layers in judged([0, 0.5])]
    losses = [adversarial_loss(half), discriminator_loss(half, half), feature_matching(half, half)]
    assert all(loss.dtype == torch.float32 for loss in losses)
