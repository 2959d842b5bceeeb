"""Boundary IoU: how well the outlines are met. Plain IoU is blind to them, for most pixels lie inside of things.

Cheng et al., Boundary IoU, CVPR 2021 (arXiv:2103.16562). Of each class only the pixels near its contour count, in the
labels and in the prediction. Sums over all images are taken before the ratio, as for plain IoU.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.classes import CLASS_NAMES, IGNORE_INDEX
from segment.metrics.regions import joint_counts

GENERAL_RATIO = 0.02
"""Width of the counted band in parts of the image's diagonal: 15 pixels at 640x360."""
CITYSCAPES_RATIO = 0.005
"""Width of the band, in parts of the diagonal, for Cityscapes, whose labels are finer: 11 pixels at 2048x1024."""


def band_width(size: tuple[int, int], ratio: float) -> int:
    """Pixels from the contour that count, for an image of (height, width); at least one."""
    return max(1, round(ratio * math.hypot(*size)))


def near_contour(label_map: Tensor, width: int) -> Tensor:
    """The pixels of each class that lie near its contour.

    Args:
        label_map: (H, W) uint8; 255 belongs to no class, but ends those beside it, as the rim of the image does.
        width: Pixels, in the sense of so many erosions by 3x3 pixels.

    Returns:
        (H, W) uint8: the class near its contour, 255 elsewhere.
    """
    # Inside of a class, the highest and the lowest id around are equal: two filters serve all classes at once.
    padded = F.pad(label_map, (width, width, width, width), value=IGNORE_INDEX)
    window = 2 * width + 1
    inside = _sliding(padded, window, torch.maximum) == _sliding(padded, window, torch.minimum)
    return label_map.masked_fill(inside, IGNORE_INDEX)


def _sliding(values: Tensor, window: int, higher: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Maximum (or minimum) over square windows, (H, W) to (H - window + 1, W - window + 1).

    Spans are doubled until they are long enough: 10 passes for a window of 23, where one by one would take 44.
    """
    for dim in (0, 1):
        length = 1
        while length < window:
            step = min(length, window - length)
            size = values.shape[dim] - step
            values = higher(values.narrow(dim, 0, size), values.narrow(dim, step, size))
            length += step
    return values


def boundary_counts(
    label_map: Tensor, prediction: Tensor, ratio: float = GENERAL_RATIO, num_classes: int = len(CLASS_NAMES)
) -> Tensor:
    """Count, of each class, the pixels near its contour.

    Args:
        label_map: (H, W) uint8 train ids; 255 = ignore. Where it is, the prediction is not looked at.
        prediction: (H, W) uint8.
        ratio: Width of the band in parts of the diagonal.
        num_classes: K.

    Returns:
        (K, 3) int64: in both, in the labels, in the prediction.
    """
    width = band_width((label_map.shape[0], label_map.shape[1]), ratio)
    seen = prediction.masked_fill(label_map == IGNORE_INDEX, IGNORE_INDEX)
    counts = joint_counts(near_contour(label_map, width), near_contour(seen, width))
    columns = (counts.diagonal(), counts.sum(1), counts.sum(0))
    return torch.stack([column[:num_classes] for column in columns], 1)


def boundary_iou(counts: Tensor) -> Tensor:
    """Boundary IoU of each class, (..., K) float64, from summed counts (..., K, 3); NaN for an absent class."""
    hits, labelled, predicted = counts.unbind(-1)
    return hits.double() / (labelled + predicted - hits)
