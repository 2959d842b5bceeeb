"""Losses that make a network sure on frames without labels."""

import math

import torch
from torch import Tensor

from segment.classes import IGNORE_INDEX


def maximum_squares(probabilities: Tensor, weights: Tensor | None = None) -> Tensor:
    """Minus half the mean square of the probabilities: lowest where each pixel is given to one class.

    Args:
        probabilities: (B, K, H, W), over the classes; gradients flow, p itself being the gradient's size.
        weights: (B, H, W), of pixels; None weighs all alike.

    Returns:
        Scalar between -1/2K and -1/2K^2 without weights.

    Source: Chen, Xue, Cai, ICCV 2019, eq. 5. As in the authors' code it is a mean over classes too, a factor 1/K beside
        the printed formula; the published weight 0.1 belongs to it.
    """
    squares = probabilities.square()
    if weights is None:
        return -squares.mean() / 2
    # The code divides the weighted sum by images and classes alone: the weights hold one over the number of pixels.
    batch, classes = probabilities.shape[:2]
    return -(squares * weights[:, None]).sum() / (2 * batch * classes)


@torch.no_grad()
def image_wise_weights(probabilities: Tensor, power: float = 0.2) -> Tensor:
    """A weight for each pixel that falls with the number of pixels that its frame gives to the same class.

    Args:
        probabilities: (B, K, H, W).
        power: 0 weighs all pixels alike, 1 all classes; below 0 the weight rises with that number.

    Returns:
        (B, H, W): 1 / max(N_c^power N^(1 - power), 1), N_c the pixels of the class, N all pixels of the frame.

    Source: Chen, Xue, Cai, ICCV 2019, eq. 7 and the authors' code, which counts in each frame by itself.
    """
    batch, classes, height, width = probabilities.shape
    seen = probabilities.max(dim=1).indices.flatten(1)  # (B, H*W); as argmax, which is slower (segment/inference.py)
    one_each = torch.ones(seen.shape, device=seen.device)
    counts = torch.zeros(batch, classes, device=seen.device).scatter_add_(1, seen, one_each)
    every = float(height * width)
    weights = 1 / (counts**power * every ** (1 - power)).clamp(min=1)
    return weights.gather(1, seen).view(batch, height, width)


def normalised_entropy(logits: Tensor) -> Tensor:
    """How undecided a network is at each pixel: 0 where it is sure, 1 where all classes are alike to it.

    Args:
        logits: (B, K, H, W), K at least 2; gradients flow.

    Returns:
        (B, H, W) in single precision: the entropy over its greatest value, ln K.

    Source: Vu et al., CVPR 2019 (arXiv:1811.12833), eq. 2.
    """
    log_probabilities = logits.float().log_softmax(dim=1)
    return -(log_probabilities.exp() * log_probabilities).sum(dim=1) / math.log(logits.shape[1])


def robust_entropy(entropies: Tensor, power: float = 2.0) -> Tensor:
    """Mean of (h^2 + 1e-8)^power: above a power of one half, undecided pixels count more than nearly decided ones.

    Args:
        entropies: Of any shape, in [0, 1]; gradients flow.
        power: eta in the paper; 2 makes it the fourth power of the entropy.

    Source: Yang and Soatto, FDA, CVPR 2020 (arXiv:2004.05498), the Charbonnier penalty of its entropy, with the
        constant of the authors' code. That code divides entropies by ln 19 whatever the number of classes.
    """
    return (entropies.square() + 1e-8).pow(power).mean()


@torch.no_grad()
def self_produced_labels(probabilities: Tensor, auxiliary: Tensor, threshold: float) -> Tensor:
    """The labels that two heads agree on in the mean, where at least one of them is sure.

    Args:
        probabilities: (B, K, H, W), by the main head.
        auxiliary: (B, K, H, W), by the auxiliary head.
        threshold: One's best class must be likelier than this.

    Returns:
        int64 (B, H, W): the class likeliest in the mean of both, 255 where neither is sure.

    Source: Chen, Xue, Cai, ICCV 2019, multi-level self-produced guidance, and the authors' code.
    """
    sure = (probabilities.amax(dim=1) > threshold) | (auxiliary.amax(dim=1) > threshold)
    return (probabilities + auxiliary).max(dim=1).indices.where(sure, IGNORE_INDEX)
