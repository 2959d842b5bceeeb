"""How far two classifiers of the same features disagree: by pixel, by their weights, by what they say in all.

Two that learnt the same labels in different ways agree where features are like those that they learnt from.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """One minus the cosine of the angle between two classifiers' probabilities, pixel by pixel.

    Args:
        first: (B, K, H, W), not negative.
        second: Of the same shape.

    Returns:
        (B, 1, H, W) in [0, 1]: 0 where both say the same, 1 where no class is likely to both. Gradients flow into both.

    Source: Luo et al., CLAN, CVPR 2019 (arXiv:1809.09478), M in their adaptive adversarial loss.
    """
    return 1 - F.cosine_similarity(first.float(), second.float(), dim=1).unsqueeze(1)


def weight_likeness(first: Tensor, second: Tensor) -> Tensor:
    """The cosine of the angle between two classifiers' weights, plus 1: a loss that drives them apart.

    Args:
        first: (N,), all weights of one of them.
        second: Those of the other, in the same order.

    Returns:
        Scalar from 0, opposite, to 2, alike.

    Source: CLAN, the weight discrepancy loss; the 1, which changes no gradient, is from the authors' code.
    """
    return F.cosine_similarity(first.float(), second.float(), dim=0) + 1


def unit_directions(classes: int, number: int, generator: torch.Generator) -> Tensor:
    """Random directions of length 1 in the space of probabilities, (K, number), evenly over all, on the host."""
    return F.normalize(torch.randn(classes, number, generator=generator), dim=0)


def sliced_wasserstein(first: Tensor, second: Tensor, directions: Tensor) -> Tensor:
    """How far two samples of points lie apart, whichever point is compared with which: image by image, in the mean.

    Both samples are seen along each direction, where the cheapest way to move one onto the other is in sorted order.

    Args:
        first: (B, N, K): what one classifier says of N pixels.
        second: (B, N, K): what the other classifier says of them.
        directions: (K, P), of length 1.

    Returns:
        Scalar: the mean squared distance, over images, ranks and directions. Gradients flow into both.

    Source: Lee, Batra, Baig, Ulbricht, SWD, CVPR 2019 (arXiv:1903.04064), with squares as in the authors' code.
        Differs: there all rows of a batch are one sample. Here each image is one, so that it is the same loss however a
        batch is shared out over processes.
    """
    with torch.autocast(first.device.type, enabled=False):  # bf16 would round sorted neighbours to the same value
        directions = directions.to(first.device, non_blocking=True).float()
        along_first, along_second = (sample.float() @ directions for sample in (first, second))  # (B, N, P)
        return (along_first.sort(dim=1).values - along_second.sort(dim=1).values).square().mean()
