"""Detail guidance: teach a shallow layer where an image has fine structure, so that no branch is needed to keep it.

Fan et al., CVPR 2021 (arXiv:2104.13188), sec. 3.3. The truth comes out of the label map by a pyramid of Laplacians, the
loss is binary cross-entropy plus Dice.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.classes import IGNORE_INDEX

STRIDES = (1, 2, 4)
"""Strides of the pyramid's levels."""
SHARES = (0.6, 0.3, 0.1)
"""With which its levels are summed. The paper would learn them, but no gradient gets past the threshold behind them."""
THRESHOLD = 0.1
"""What a Laplacian, and then a sum, must exceed."""


def detail_map(label_map: Tensor) -> Tensor:
    """Mark the pixels whose id is above the mean of those around them, at three strides.

    Between two classes these are the pixels of the one with the higher id.

    Args:
        label_map: (B, H, W) int64 train ids; 255 = ignore.

    Returns:
        (B, H, W) int64: 1 on detail, 0 elsewhere, 255 where the label map says 255.

    Source: sec. 3.3, with the strides, weights and thresholds of the authors' code. What stride 4 alone has found
        weighs 0.1, which does not exceed the threshold.
        Differs: ignored pixels and what is beyond the rim take no part, whereas there they have the ids 255 and 0.
    """
    size = label_map.shape[-2:]
    edges = (_laplacian(label_map) > THRESHOLD).float()
    # Taking every second value is what a Laplacian of stride 2 does.
    levels = [F.interpolate(edges[..., ::stride, ::stride], size, mode="nearest") for stride in STRIDES]
    total = torch.stack([share * level for share, level in zip(SHARES, levels, strict=True)]).sum(0)
    return (total > THRESHOLD).long().squeeze(1).where(label_map != IGNORE_INDEX, IGNORE_INDEX)


def detail_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy over the pixels that are not ignored.

    Args:
        logits: (B, 1, H, W) of a pixel being detail.
        target: (B, H, W) int64: 1, 0, or 255 = ignore.

    Returns:
        Scalar; zero, with gradients of zero, if every pixel is ignored.
    """
    valid = target != IGNORE_INDEX
    losses = F.binary_cross_entropy_with_logits(logits.squeeze(1).float(), (target == 1).float(), reduction="none")
    return (losses * valid).sum() / valid.sum().clamp(min=1)


def detail_dice(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the Dice coefficient of detail, per image and averaged; it does not mind how rare detail is.

    Args:
        logits: (B, 1, H, W) of a pixel being detail.
        target: (B, H, W) int64: 1, 0, or 255 = ignore.

    Returns:
        Scalar in [0, 1); zero, with gradients of zero, if every pixel is ignored.

    Source: sec. 3.3, with epsilon 1.
        Differs: without squares in the denominator, as in the authors' code.
    """
    truth = (target == 1).float().flatten(1)  # (B, H*W)
    probability = (logits.squeeze(1).float().sigmoid() * (target != IGNORE_INDEX)).flatten(1)
    overlap = (truth * probability).sum(1)
    return (1 - (2 * overlap + 1) / (truth.sum(1) + probability.sum(1) + 1)).mean()


def _laplacian(label_map: Tensor) -> Tensor:
    """By how much each id is above those of its valid neighbours, summed over them; (B, 1, H, W)."""
    valid = (label_map != IGNORE_INDEX).unsqueeze(1).float()
    ids = label_map.unsqueeze(1).float() * valid
    return ids * _sum_around(valid) - _sum_around(ids) * valid


def _sum_around(x: Tensor) -> Tensor:
    """Over 3x3 pixels; pooling adds up in float32 even where mixed precision would have a convolution round."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, divisor_override=1)
