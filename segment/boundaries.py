"""Where classes meet: the target of a boundary head, made from a label map, and the loss that such a head learns by.

Boundaries are thin, so both kinds of pixels weigh the same in the loss however few there are of one.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.classes import IGNORE_INDEX


def boundary_map(label_map: Tensor, radius: int = 2) -> Tensor:
    """Mark the pixels that have a pixel of another class near them.

    Ignored pixels have no class: they make no boundary, are none, and stay ignored. Nor does the rim of the map.

    Args:
        label_map: (B, H, W) int64 train ids; 255 = ignore.
        radius: In pixels; a square window reaches so far to each side. Boundaries are twice as wide.

    Returns:
        (B, H, W) int64: 1 on a boundary, 0 elsewhere, 255 where the label map says 255.

    Source: what PIDNet's code makes (Xu et al., CVPR 2023) with Canny on the label map and a dilation by 4x4 pixels.
        Differs: here ids are names and no brightnesses, so boundaries lie evenly on both sides; a border to ignored
        pixels is none; boundaries keep their width when the frame is scaled, and reach up to its rim.
    """
    labels = label_map.unsqueeze(1).float()  # (B, 1, H, W)
    valid = labels != IGNORE_INDEX
    window = 2 * radius + 1
    largest = F.max_pool2d(labels.where(valid, -1.0), window, stride=1, padding=radius)
    smallest = -F.max_pool2d((-labels).where(valid, -float(IGNORE_INDEX)), window, stride=1, padding=radius)
    boundary = (largest != smallest).squeeze(1).long()
    return boundary.where(label_map != IGNORE_INDEX, IGNORE_INDEX)


def balanced_binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy in which a pixel weighs the share that the other kind has of the batch.

    Args:
        logits: (B, 1, H, W) of a pixel being on a boundary.
        target: (B, H, W) int64: 1 on a boundary, 0 elsewhere, 255 = ignore.

    Returns:
        Scalar, at most log 2 / 2 for logits of zero; zero, with gradients of zero, if only one kind of pixel is there.

    Source: Xie and Tu, ICCV 2015 (arXiv:1504.06375), eq. 2, as a mean and over the batch, as in PIDNet's code.
    """
    positive, negative = target == 1, target == 0
    positives, negatives = positive.sum(), negative.sum()
    count = (positives + negatives).clamp(min=1)
    weights = (positive * negatives + negative * positives) / count
    losses = F.binary_cross_entropy_with_logits(logits.squeeze(1).float(), positive.float(), reduction="none")
    return torch.sum(losses * weights) / count
