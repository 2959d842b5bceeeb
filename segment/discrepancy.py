"""How far two classifiers of the same features disagree: by pixel, by their weights, by what they say in all.

Two that learnt the same labels in different ways agree where features are like those that they learnt from.
"""

from torch import Tensor
from torch.nn import functional as F


def cosine_distance(first: Tensor, second: Tensor) -> Tensor:
    """One minus the cosine of the angle between two classifiers' probabilities, pixel by pixel.

    Args:
        first: (B, K, H, W), not negative.
        second: Of the same shape.

    Returns:
        (B, 1, H, W) in [0, 1]: 0 where both say the same, 1 where no class is likely to both. Gradients flow into both.

    Source: Luo et al., CLAN, CVPR 2019 (arXiv:1809.09478), M in eq. 4.
    """
    return 1 - F.cosine_similarity(first.float(), second.float(), dim=1).unsqueeze(1)


def weight_likeness(first: Tensor, second: Tensor) -> Tensor:
    """The cosine of the angle between two classifiers' weights, plus 1: a loss that drives them apart.

    Args:
        first: (N,), all weights of one of them.
        second: Those of the other, in the same order.

    Returns:
        Scalar from 0, opposite, to 2, alike.

    Source: CLAN, eq. 2; the 1, which changes no gradient, is from the authors' code.
    """
    return F.cosine_similarity(first.float(), second.float(), dim=0) + 1
