"""Losses that make two domains look alike to a discriminator, and keep the discriminator able to tell them apart.

One convention throughout: a discriminator's map of logits says how likely the target is, so that 0 stands for the
source and 1 for the target. (AdaptSegNet's paper writes it the other way round, its code as here.)
"""

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Adam

from segment.settings import OneOf, PositiveFloat, PositiveInt

SOURCE, TARGET = 0.0, 1.0
"""What a discriminator is to say of each domain."""


@dataclass(frozen=True)
class DiscriminatorSettings:
    """The discriminator of label maps that a method trains; defaults are those of AdaptSegNet's code."""

    discriminator: Literal["plain", "light"] = "plain"
    discriminator_channels: PositiveInt = 64
    discriminator_learning_rate: PositiveFloat = 1e-4
    """Initial rate of Adam with decay rates 0.9 and 0.99; it falls as the network's does."""
    domain_loss: Annotated[str, OneOf("segment.adaptation.adversarial.DOMAIN_LOSSES")] = "binary_cross_entropy"


class DomainLoss(Protocol):
    """From a map of logits, of any shape, and the domain that it should name, to a scalar."""

    def __call__(self, judged: Tensor, domain: float, weights: Tensor | None = None) -> Tensor:
        """The mean over all places of their losses, times `weights` where there are any.

        Weights have the map's shape; gradients flow into them too. Their sum does not divide: twice the weights are
        twice the loss.
        """


def binary_cross_entropy(judged: Tensor, domain: float, weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the sigmoid of `judged` with `domain`. Goodfellow et al., NeurIPS 2014."""
    truth = torch.full_like(judged, domain, dtype=torch.float32)
    if weights is None:
        return F.binary_cross_entropy_with_logits(judged.float(), truth)
    # Not by that function's own `weight`, which lets no gradient through.
    return (weights * F.binary_cross_entropy_with_logits(judged.float(), truth, reduction="none")).mean()


def least_squares(judged: Tensor, domain: float, weights: Tensor | None = None) -> Tensor:
    """Mean squared distance of the raw map from `domain`. Mao et al., ICCV 2017."""
    losses = (judged.float() - domain).square()
    return losses.mean() if weights is None else (weights * losses).mean()


DOMAIN_LOSSES: dict[str, DomainLoss] = {
    "binary_cross_entropy": binary_cross_entropy,
    "least_squares": least_squares,
}


def mistaken_domains(judge: nn.Module, loss: DomainLoss, source: Tensor, target: Tensor) -> Tensor:
    """What a discriminator pays for domains that it mistakes, half for each: a scalar.

    Args:
        judge: The discriminator.
        loss: One of DOMAIN_LOSSES.
        source: Probabilities (B, K, H, W) of source frames; constants.
        target: Those of target frames; constants.
    """
    return 0.5 * loss(judge(source.detach()), SOURCE) + 0.5 * loss(judge(target.detach()), TARGET)


def discriminator_optimizer(discriminators: nn.Module, settings: DiscriminatorSettings) -> Adam:
    """Adam as AdaptSegNet's code has it, at the settings' rate."""
    return Adam(discriminators.parameters(), lr=settings.discriminator_learning_rate, betas=(0.9, 0.99))


def at_chance(loss: DomainLoss) -> float:
    """What a discriminator pays, half for each domain, that says "as likely this as that" of everything."""
    undecided = torch.zeros(1) if loss is binary_cross_entropy else torch.full((1,), 0.5)
    return 0.5 * (loss(undecided, SOURCE) + loss(undecided, TARGET)).item()
