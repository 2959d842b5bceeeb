"""Scores of predicted label maps, by the definitions of the Cityscapes evaluation.

One confusion matrix is summed over all images before any ratio is taken. A pixel for which the prediction names no
class is a miss of the true class, not a pixel to leave out. Tests hold all this against cityscapesScripts itself.

A confusion matrix here is int64 (K, K + 1): rows are true classes, columns predicted ones, the last column is "none".
Functions that take one also take a stack (..., K, K + 1), and then return one score for each.
"""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from segment.classes import CLASS_NAMES, IGNORE_INDEX

# ------------------------------------------------------------------------------------------------------------ counting


def confusion_matrix(label_map: Tensor, prediction: Tensor, num_classes: int = len(CLASS_NAMES)) -> Tensor:
    """Count the valid pixels by true and by predicted class.

    Args:
        label_map: Train ids, any shape and integer type; 255 = ignore.
        prediction: Of the same shape; whatever is not a class, 255 say, is counted in the last column.
        num_classes: K.

    Returns:
        (K, K + 1) int64, exact for any number of pixels.

    Raises:
        ValueError: The shapes differ, or the label map holds an id that is neither a class nor 255.
    """
    if label_map.shape != prediction.shape:
        raise ValueError(
            f"The prediction is {tuple(prediction.shape)}, the label map {tuple(label_map.shape)}. "
            "Upsample the logits to the size of the label map."
        )
    truth = label_map.flatten().long()
    valid = truth != IGNORE_INDEX
    truth, column = truth[valid], prediction.flatten().long()[valid]
    strange = (truth < 0) | (truth >= num_classes)
    if strange.any():
        ids = ", ".join(str(value) for value in truth[strange].unique().tolist())
        raise ValueError(f"The label map holds {ids}; train ids are 0 to {num_classes - 1}, and {IGNORE_INDEX}.")
    column = torch.where((column < 0) | (column >= num_classes), num_classes, column)
    counts = torch.bincount(truth * (num_classes + 1) + column, minlength=num_classes * (num_classes + 1))
    return counts.reshape(num_classes, num_classes + 1)


def merge_classes(confusion: Tensor, groups: Sequence[Collection[int]]) -> Tensor:
    """Count classes that a data set cannot tell apart as one.

    CamVid, for example, has one label for traffic lights and signs and one for two-wheelers and their riders.

    Args:
        confusion: (..., K, K + 1) int64.
        groups: Train ids of each group; groups do not overlap.

    Returns:
        A matrix of the same shape in which each group is counted as its lowest train id and its others are absent.
    """
    members = [train_id for group in groups for train_id in group]
    if len(members) != len(set(members)):
        raise ValueError(f"A class is in two groups or twice in one: {[list(group) for group in groups]}.")
    merged = confusion.clone()
    for first, *others in map(sorted, groups):
        merged[..., first, :] += merged[..., others, :].sum(-2)
        merged[..., others, :] = 0
        merged[..., :, first] += merged[..., :, others].sum(-1)
        merged[..., :, others] = 0
    return merged


# -------------------------------------------------------------------------------------------------------------- scores


def iou_per_class(confusion: Tensor) -> Tensor:
    """Intersection over union of each class.

    Args:
        confusion: (..., K, K + 1) int64.

    Returns:
        (..., K) float64 in [0, 1]; NaN for a class that is neither in the labels nor predicted on a valid pixel.
    """
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    labelled = confusion.sum(-1)
    predicted = confusion[..., :-1].sum(-2)
    return hits.double() / (labelled + predicted - hits)


def mean_iou(confusion: Tensor, train_ids: Sequence[int] | None = None) -> Tensor:
    """Mean IoU over those of the classes that are present.

    Args:
        confusion: (..., K, K + 1) int64.
        train_ids: The classes to average, such as TRAIN_IDS_16; all by default. Confusion with the others still counts.

    Returns:
        (...) float64 in [0, 1]; NaN if none of the classes is present.
    """
    ious = iou_per_class(confusion)
    return (ious if train_ids is None else ious[..., list(train_ids)]).nanmean(-1)


def accuracy_per_class(confusion: Tensor) -> Tensor:
    """Share of each class's pixels that were found (recall), (..., K) float64; NaN for a class without a pixel."""
    return confusion.diagonal(dim1=-2, dim2=-1).double() / confusion.sum(-1)


def mean_accuracy(confusion: Tensor) -> Tensor:
    """Mean over the classes that have pixels of the share that was found, (...) float64."""
    return accuracy_per_class(confusion).nanmean(-1)


def pixel_accuracy(confusion: Tensor) -> Tensor:
    """Share of all valid pixels that got their class, (...) float64; NaN if there is none."""
    return confusion.diagonal(dim1=-2, dim2=-1).sum(-1).double() / confusion.sum((-2, -1))


# --------------------------------------------------------------------------------------------------------- comparisons


def bootstrap_interval(
    confusions: Tensor,
    seed: int,
    train_ids: Sequence[int] | None = None,
    samples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """How far the mean IoU could have moved with other images of the same kind: a percentile bootstrap over images.

    Args:
        confusions: (N, K, K + 1) int64, one matrix per image.
        seed: Of the resampling; the same seed gives the same interval.
        train_ids: As in `mean_iou`.
        samples: Number of resampled sets of N images.
        level: Share of them that lie inside the interval.

    Returns:
        (low, high); NaN for fewer than two images, which say nothing about other images.
    """
    images = confusions.shape[0]
    if images < 2:
        return math.nan, math.nan
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(images, (samples, images), generator=generator)
    times_drawn = torch.zeros(samples, images, dtype=torch.float64).scatter_add_(
        1, draws, torch.ones(samples, images, dtype=torch.float64)
    )
    # Counts up to 2 ** 53 are exact in float64, for which, unlike for int64, matrix products are fast.
    resampled = times_drawn @ confusions.cpu().flatten(1).double()
    scores = mean_iou(resampled.reshape(samples, *confusions.shape[1:]), train_ids)
    low, high = scores.nanquantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)).tolist()
    return low, high


def gap_closed(source_only: float, adapted: float, oracle: float) -> float:
    """The share of the way from the source-only network to the oracle that adaptation went.

    Args:
        source_only: Mean IoU on target frames after training on source frames alone.
        adapted: Mean IoU of the network in question: same network, budget and evaluation.
        oracle: Mean IoU after training on labelled target frames.

    Returns:
        0 for no gain, 1 for the oracle's score; may leave [0, 1]. NaN if the oracle is not the better one: no gap.
    """
    if not oracle > source_only:
        return math.nan
    return (adapted - source_only) / (oracle - source_only)
