"""Losses that make two domains look alike to a discriminator, and keep the discriminator able to tell them apart.

One convention throughout: a discriminator's map of logits says how likely the target is, so that 0 stands for the
source and 1 for the target. (AdaptSegNet's paper writes it the other way round, its code as here.)
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SOURCE, TARGET = 0.0, 1.0
"""What a discriminator is to say of each domain."""

DomainLoss = Callable[[Tensor, float], Tensor]
"""From a map of logits, of any shape, and the domain that it should name, to a scalar."""


def binary_cross_entropy(judged: Tensor, domain: float) -> Tensor:
    """Mean cross-entropy of the sigmoid of `judged` with `domain`. Goodfellow et al., NeurIPS 2014."""
    return F.binary_cross_entropy_with_logits(judged.float(), torch.full_like(judged, domain, dtype=torch.float32))


def least_squares(judged: Tensor, domain: float) -> Tensor:
    """Mean squared distance of the raw map from `domain`. Mao et al., ICCV 2017."""
    return (judged.float() - domain).square().mean()


DOMAIN_LOSSES: dict[str, DomainLoss] = {
    "binary_cross_entropy": binary_cross_entropy,
    "least_squares": least_squares,
}


def at_chance(loss: DomainLoss) -> float:
    """What a discriminator pays, half for each domain, that says "as likely this as that" of everything."""
    undecided = torch.zeros(1) if loss is binary_cross_entropy else torch.full((1,), 0.5)
    return 0.5 * (loss(undecided, SOURCE) + loss(undecided, TARGET)).item()
