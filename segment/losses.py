"""Losses of supervised segmentation: pure functions of logits and a label map.

A crop may hold nothing but ignored pixels. Each loss is then zero with zero gradients, where PyTorch's own mean is NaN.
All take weights of classes, with which a mean is the weighted mean, so that the size of the loss does not depend on
the size of the weights.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.boundaries import boundary_map
from segment.classes import IGNORE_INDEX

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Logits (B, K, H, W), label map (B, H, W) and weights of classes (K,) or None, to a scalar."""


def cross_entropy(logits: Tensor, label_map: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Mean cross-entropy over the pixels that have a class.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        class_weights: (K,); None counts all pixels alike.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.
    """
    return _mean(_pixel_losses(logits, label_map), label_map, class_weights)


def weighted_cross_entropy(logits: Tensor, label_map: Tensor, weights: Tensor) -> Tensor:
    """Mean over all pixels of their cross-entropies times their weights: half the trust is half the pull.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; an ignored pixel (255) costs nothing and counts in the mean.
        weights: (B, H, W), of pixels, constants.

    Source: the loss on mixed frames of Tranheden et al., WACV 2021 (arXiv:2007.08702), eq. 1, as their code has it.
    """
    return (_pixel_losses(logits, label_map) * weights).mean()


def imitation(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Mean over pixels of how far a network's probabilities are from its teacher's, both softened.

    Args:
        logits: (B, K, H, W); gradients flow.
        teacher: Logits of the same shape; constants.
        temperature: Divides both; above 1 the unlikely classes count more.

    Returns:
        Scalar: T^2 KL(teacher || network), whose gradient does not fade as T rises; 0 where both agree.

    Source: Hinton, Vinyals, Dean 2015 (arXiv:1503.02531), sec. 2.
    """
    student = (logits.float() / temperature).log_softmax(dim=1)
    wanted = (teacher.detach().float() / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(student, wanted, reduction="none", log_target=True).sum(dim=1).mean()


def ohem_cross_entropy(
    logits: Tensor,
    label_map: Tensor,
    class_weights: Tensor | None = None,
    threshold: float = 0.7,
    min_kept: float = 1 / 16,
) -> Tensor:
    """Mean cross-entropy over the hard pixels: those whose true class has a probability below the threshold.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        class_weights: (K,); they weigh the hard pixels, which are found without them. None counts all alike.
        threshold: Probability in (0, 1) from which on a pixel counts as learnt.
        min_kept: Share of the valid pixels to keep, the hardest ones, if fewer are below the threshold.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.

    Source: online hard example mining, Shrivastava et al., CVPR 2016 (arXiv:1604.03540), with the threshold and the
        share that the code of BiSeNet (Yu et al., ECCV 2018) made customary.
    """
    valid = label_map != IGNORE_INDEX
    losses, labels = _pixel_losses(logits, label_map)[valid], label_map[valid]
    if losses.numel() == 0:
        return losses.sum()
    hard = losses > -math.log(threshold)
    least = max(1, int(losses.numel() * min_kept))
    if int(hard.sum()) >= least:
        return _mean(losses[hard], labels[hard], class_weights)
    hardest = losses.topk(least, sorted=False)
    return _mean(hardest.values, labels[hardest.indices], class_weights)


def focal_loss(logits: Tensor, label_map: Tensor, class_weights: Tensor | None = None, focusing: float = 2.0) -> Tensor:
    """Mean cross-entropy in which a pixel counts the less, the surer the network is of its true class.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        class_weights: (K,), alpha in the paper; None counts all pixels alike.
        focusing: gamma: a pixel of probability p counts (1 - p) ** gamma times; 0 is cross-entropy.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.

    Source: Lin et al., ICCV 2017 (arXiv:1708.02002), eq. 5.
        Differs: divided by the number of pixels, which here all have a class, not by the number of objects.
    """
    losses = _pixel_losses(logits, label_map)
    return _mean((1 - (-losses).exp()) ** focusing * losses, label_map, class_weights)


def dice_loss(logits: Tensor, label_map: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """One minus the soft Dice coefficient, over the classes that the batch shows: each counts alike, however small.

    Classes that no pixel of the batch has are left out: their coefficient is zero whatever the network says. Their
    false alarms still cost, in the classes where they occur.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        class_weights: (K,), for the mean over classes; None counts them alike.

    Returns:
        Scalar in [0, 1]; zero, with gradients of zero, if every pixel is ignored.

    Source: Milletari et al., 3DV 2016 (arXiv:1606.04797), sec. 3, with squares in the denominator; the mean over
        classes is the usual extension from two classes to many.
    """
    classes = torch.arange(logits.shape[1], device=logits.device).view(1, -1, 1, 1)
    truth = (label_map.unsqueeze(1) == classes).float()  # (B, K, H, W); ignored pixels have no class in it
    probability = logits.float().softmax(1) * (label_map != IGNORE_INDEX).unsqueeze(1)
    shown = truth.sum((0, 2, 3))
    overlap = (truth * probability).sum((0, 2, 3))
    coefficients = 2 * overlap / (shown + probability.square().sum((0, 2, 3))).clamp(min=1)
    counted = (shown > 0).float() if class_weights is None else (shown > 0) * class_weights
    return ((1 - coefficients) * counted).sum() / counted.sum().clamp(min=torch.finfo(torch.float32).tiny)


def boundary_cross_entropy(logits: Tensor, label_map: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """Half the mean cross-entropy over all pixels, half that over the pixels beside another class.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        class_weights: (K,); None counts all pixels alike.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.

    Source: the loss with which super-gradients trained DDRNet ("cross-entropy with edge attention", weights 0.5 and
        0.5, edges by a window of 3). Differs: a border to ignored pixels is no edge.
    """
    losses = _pixel_losses(logits, label_map)
    at_edges = label_map.where(boundary_map(label_map, radius=1) == 1, IGNORE_INDEX)
    return 0.5 * _mean(losses, label_map, class_weights) + 0.5 * _mean(losses, at_edges, class_weights)


def cross_entropy_and_dice(logits: Tensor, label_map: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """The sum of both, each with weight 1; arguments as there."""
    return cross_entropy(logits, label_map, class_weights) + dice_loss(logits, label_map, class_weights)


def boundary_and_dice(logits: Tensor, label_map: Tensor, class_weights: Tensor | None = None) -> Tensor:
    """`boundary_cross_entropy` plus `dice_loss`: super-gradients' recipe for DDRNet, which reports +1.4 mIoU over OHEM
    with it on Cityscapes; arguments as there.
    """
    return boundary_cross_entropy(logits, label_map, class_weights) + dice_loss(logits, label_map, class_weights)


def inverse_log_weights(shares: Tensor, offset: float = 1.02) -> Tensor:
    """Weights of classes that favour rare ones within bounds: 1 / ln(offset + share), between 1.4 and 50.5.

    Args:
        shares: (K,), each class's share of all labelled pixels; they add up to 1.
        offset: c in the paper, above 1.

    Source: Paszke et al., ENet (arXiv:1606.02147), sec. 4.
    """
    return 1 / (offset + shares).log()


def _pixel_losses(logits: Tensor, label_map: Tensor) -> Tensor:
    """Cross-entropy of each pixel, (B, H, W); ignored pixels come back as zeros."""
    return F.cross_entropy(logits.float(), label_map, ignore_index=IGNORE_INDEX, reduction="none")


def _mean(losses: Tensor, label_map: Tensor, class_weights: Tensor | None) -> Tensor:
    """Mean over the pixels that have a class, weighted by class; dividing the sum keeps the count on the device.

    Args:
        losses: Of any shape.
        label_map: Of the same shape; where it is 255, a loss does not count.
        class_weights: (K,), or None.
    """
    valid = label_map != IGNORE_INDEX
    if class_weights is None:
        return (losses * valid).sum() / valid.sum().clamp(min=1)
    weights = class_weights[label_map.where(valid, 0)] * valid
    return (losses * weights).sum() / weights.sum().clamp(min=torch.finfo(torch.float32).tiny)


LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "ohem": ohem_cross_entropy,
    "focal": focal_loss,
    "dice": dice_loss,
    "boundary": boundary_cross_entropy,
    "cross_entropy+dice": cross_entropy_and_dice,
    "boundary+dice": boundary_and_dice,
}
"""Losses by the name that an experiment's settings use."""
