"""The terms of image translation's objectives, each a pure function of what it compares.

All return an unweighted scalar in float32 whatever the precision of their arguments: a mean over thousands of bfloat16
values would be logged, and compared between runs, with eight bits.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


def least_squares_gan(judgement: Tensor, real: bool) -> Tensor:
    """Mean squared distance of a discriminator's judgement from 1 (real) or 0 (fake).

    Args:
        judgement: Unbounded, any shape.
        real: What the judgement should have been. A generator passes True for its own images.

    Source: Mao et al., ICCV 2017 (arXiv:1611.04076), with a = 0, b = c = 1 and without the factor 1/2.
    """
    wanted = 1.0 if real else 0.0
    return (judgement.float() - wanted).square().mean()


def least_squares_discriminator(real_judgement: Tensor, fake_judgement: Tensor) -> Tensor:
    """Half the sum of both least-squares terms; the half slows the discriminator down.

    Source: Zhu et al., ICCV 2017 (arXiv:1703.10593), sec. 7.1: "divide the objective by 2 while optimizing D".
    """
    return 0.5 * (least_squares_gan(real_judgement, real=True) + least_squares_gan(fake_judgement, real=False))


def vanilla_gan(judgement: Tensor, real: bool) -> Tensor:
    """Mean cross-entropy of a discriminator's judgement, a logit, against 1 (real) or 0 (fake).

    Args:
        judgement: Unbounded, any shape.
        real: What the judgement should have been. A generator passes True for its own images: the non-saturating form.

    Source: Goodfellow et al., NeurIPS 2014 (arXiv:1406.2661), eq. 1 and the end of sec. 3.
    """
    wanted = torch.full_like(judgement, 1.0 if real else 0.0, dtype=torch.float32)
    return functional.binary_cross_entropy_with_logits(judgement.float(), wanted)


def vanilla_discriminator(real_judgement: Tensor, fake_judgement: Tensor) -> Tensor:
    """Half the sum of both cross-entropies, halved as `least_squares_discriminator` is."""
    return 0.5 * (vanilla_gan(real_judgement, real=True) + vanilla_gan(fake_judgement, real=False))


def hinge_generator(fake_judgement: Tensor) -> Tensor:
    """Minus the mean judgement of the generator's images. Lim and Ye, arXiv:1705.02894; Miyato et al., ICLR 2018."""
    return -fake_judgement.float().mean()


def hinge_discriminator(real_judgement: Tensor, fake_judgement: Tensor) -> Tensor:
    """Half the sum of what real judgements lack to 1 and what fake ones exceed -1 by.

    Source: Miyato et al., ICLR 2018 (arXiv:1802.05957), eq. 16. Halved as the other discriminators' losses here.
    """
    lacking = functional.relu(1 - real_judgement.float()).mean()
    exceeding = functional.relu(1 + fake_judgement.float()).mean()
    return 0.5 * (lacking + exceeding)


class GanLoss(NamedTuple):
    """What the generator pays for the judgement of its images, and what the discriminator pays for both judgements."""

    generator: Callable[[Tensor], Tensor]
    discriminator: Callable[[Tensor, Tensor], Tensor]


def _least_squares_generator(fake_judgement: Tensor) -> Tensor:
    return least_squares_gan(fake_judgement, real=True)


def _vanilla_generator(fake_judgement: Tensor) -> Tensor:
    return vanilla_gan(fake_judgement, real=True)


GAN_LOSSES: dict[str, GanLoss] = {
    "least_squares": GanLoss(_least_squares_generator, least_squares_discriminator),
    "vanilla": GanLoss(_vanilla_generator, vanilla_discriminator),
    "hinge": GanLoss(hinge_generator, hinge_discriminator),
}
"""By the names that a config uses."""


def cycle_consistency(cycled: Tensor, original: Tensor) -> Tensor:
    """Mean L1 distance between an image and what came back from the other domain.

    Args:
        cycled: (B, 3, H, W) in [-1, 1]; gradients flow.
        original: Same shape and range. Distances are twice those on [0, 1]; the usual weight of 10 counts on it.

    Raises:
        ValueError: The shapes differ.

    Source: Zhu et al., ICCV 2017 (arXiv:1703.10593), eq. 2.
    """
    return _mean_absolute_difference(cycled, original)


def identity(unchanged: Tensor, original: Tensor) -> Tensor:
    """Mean L1 distance between an image already in a generator's output domain and what the generator made of it.

    Keeps colours where they were: nothing else in the objective stops a generator from, say, turning day into night.

    Args:
        unchanged: (B, 3, H, W) in [-1, 1]; gradients flow.
        original: Same shape and range.

    Raises:
        ValueError: The shapes differ.

    Source: Zhu et al., ICCV 2017 (arXiv:1703.10593), sec. 5.2, after Taigman et al., ICLR 2017.
    """
    return _mean_absolute_difference(unchanged, original)


def reconstruction(fake: Tensor, translated: Tensor) -> Tensor:
    """Mean L1 distance between a student's translation and its teacher's.

    Args:
        fake: (B, 3, H, W) in [-1, 1]; gradients flow.
        translated: Same shape and range.

    Raises:
        ValueError: The shapes differ.

    Source: Pasios and Nikolaidis, arXiv:2603.10604 (2026), with the weight 10; as Isola et al., CVPR 2017, eq. 3.
    """
    return _mean_absolute_difference(fake, translated)


def _mean_absolute_difference(image: Tensor, reference: Tensor) -> Tensor:
    # Broadcasting would silently compare every image with every other.
    if image.shape != reference.shape:
        raise ValueError(f"Images have shapes {tuple(image.shape)} and {tuple(reference.shape)}; they must be equal.")
    return (image.float() - reference.float()).abs().mean()
