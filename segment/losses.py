"""Losses of supervised segmentation: pure functions of logits and a label map.

A crop may hold nothing but ignored pixels. Each loss is then zero with zero gradients, where PyTorch's own mean is NaN.
"""

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from segment.classes import IGNORE_INDEX


def cross_entropy(logits: Tensor, label_map: Tensor) -> Tensor:
    """Mean cross-entropy over the pixels that have a class.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.
    """
    # Ignored pixels come back as zeros. Dividing the sum keeps the count on the device.
    losses = F.cross_entropy(logits.float(), label_map, ignore_index=IGNORE_INDEX, reduction="none")
    return losses.sum() / (label_map != IGNORE_INDEX).sum().clamp(min=1)


def ohem_cross_entropy(logits: Tensor, label_map: Tensor, threshold: float = 0.7, min_kept: float = 1 / 16) -> Tensor:
    """Mean cross-entropy over the hard pixels: those whose true class has a probability below the threshold.

    Args:
        logits: (B, K, H, W).
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        threshold: Probability in (0, 1) from which on a pixel counts as learnt.
        min_kept: Share of the valid pixels to keep, the hardest ones, if fewer are below the threshold.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.

    Source: online hard example mining, Shrivastava et al., CVPR 2016 (arXiv:1604.03540), with the threshold and the
        share that the code of BiSeNet (Yu et al., ECCV 2018) made customary.
    """
    losses = F.cross_entropy(logits.float(), label_map, ignore_index=IGNORE_INDEX, reduction="none")
    losses = losses[label_map != IGNORE_INDEX]
    if losses.numel() == 0:
        return losses.sum()
    hard = losses[losses > -math.log(threshold)]
    least = max(1, int(losses.numel() * min_kept))
    return hard.mean() if hard.numel() >= least else losses.topk(least, sorted=False).values.mean()


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy,
    "ohem": ohem_cross_entropy,
}
"""Losses by the name that an experiment's settings use."""
