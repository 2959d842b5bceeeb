"""Losses of domains: numbers worked out by hand, the convention, and which way they push."""

import math

import pytest
import torch
from torch import nn

from segment.adaptation.adversarial import (
    DOMAIN_LOSSES,
    SOURCE,
    TARGET,
    DiscriminatorSettings,
    at_chance,
    binary_cross_entropy,
    discriminator_optimizer,
    least_squares,
    mistaken_domains,
)


def test_binary_cross_entropy_by_hand():
    judged = torch.tensor([[0.0, math.log(3)]])  # sigmoids 1/2 and 3/4
    expected = (math.log(2) + math.log(4 / 3)) / 2
    assert binary_cross_entropy(judged, TARGET).item() == pytest.approx(expected)
    assert binary_cross_entropy(judged, SOURCE).item() == pytest.approx((math.log(2) + math.log(4)) / 2)


def test_least_squares_by_hand():
    judged = torch.tensor([0.5, -1.0])
    assert least_squares(judged, SOURCE).item() == pytest.approx((0.25 + 1) / 2)
    assert least_squares(judged, TARGET).item() == pytest.approx((0.25 + 4) / 2)


@pytest.mark.parametrize("name", DOMAIN_LOSSES)
@pytest.mark.parametrize(("domain", "sign"), [(SOURCE, 1), (TARGET, -1)])
def test_descending_moves_the_map_towards_the_domain_that_is_named(name, domain, sign):
    """A step down the gradient of "be taken for source" lowers the logits of the target, and the other way round."""
    judged = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    DOMAIN_LOSSES[name](judged, domain).backward()
    assert (judged.grad * sign > 0).all()


@pytest.mark.parametrize("name", DOMAIN_LOSSES)
def test_half_precision_is_computed_in_float32(name):
    loss = DOMAIN_LOSSES[name](torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16), TARGET)
    assert loss.dtype == torch.float32 and loss.isfinite()


def test_mistaken_domains_by_hand():
    """The judge gives probabilities back: 1/2 for the source, 1/4 for the target. (1/4 + 9/16) / 2, and no gradient."""
    source, target = torch.full((2, 1, 1, 1), 0.5, requires_grad=True), torch.full((1, 1, 1, 1), 0.25)
    judge = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(judge.weight)
    loss = mistaken_domains(judge, least_squares, source, target)
    assert loss.item() == pytest.approx(13 / 32)
    loss.backward()
    assert source.grad is None and judge.weight.grad is not None


def test_discriminators_learn_by_the_authors_adam():
    optimizer = discriminator_optimizer(nn.Linear(1, 1), DiscriminatorSettings(discriminator_learning_rate=0.5))
    assert {key: optimizer.defaults[key] for key in ("lr", "betas", "weight_decay")} == {
        "lr": 0.5,
        "betas": (0.9, 0.99),
        "weight_decay": 0,
    }


def test_what_guessing_costs():
    """Cross-entropy: log 2 for each domain. Least squares: (1/2)^2 for each."""
    assert at_chance(binary_cross_entropy) == pytest.approx(0.6931472)
    assert at_chance(least_squares) == pytest.approx(0.25)


@pytest.mark.parametrize("name", DOMAIN_LOSSES)
def test_weights_multiply_each_place_and_get_a_gradient(name):
    """Places of equal loss, weighted 1 and 3: twice the mean. More weight costs more, by half the loss each."""
    judged, weights = torch.full((2,), 0.5), torch.tensor([1.0, 3.0], requires_grad=True)
    plain, weighted = DOMAIN_LOSSES[name](judged, TARGET), DOMAIN_LOSSES[name](judged, TARGET, weights)
    assert weighted.item() == pytest.approx(2 * plain.item())
    weighted.backward()
    torch.testing.assert_close(weights.grad, torch.full((2,), plain.item() / 2))
