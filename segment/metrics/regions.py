"""Scores of predicted label maps, by the definitions of the Cityscapes evaluation.

One confusion matrix is summed over all images before any ratio is taken. A pixel for which the prediction names no
class is a miss of the true class, not a pixel to leave out. Tests hold all this against cityscapesScripts itself.

A confusion matrix here is int64 (K, K + 1): rows are true classes, columns predicted ones, the last column is "none".
Functions that take one also take a stack (..., K, K + 1), and then return one score for each.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segment.classes import CLASS_NAMES, IGNORE_INDEX

# ------------------------------------------------------------------------------------------------------------ counting


def confusion_matrix(label_map: Tensor, prediction: Tensor, num_classes: int = len(CLASS_NAMES)) -> Tensor:
    """Count the valid pixels by true and by predicted class.

    Args:
        label_map: Train ids, any shape and integer type; 255 = ignore.
        prediction: Of the same shape; whatever is not a class, 255 say, is counted in the last column.
        num_classes: K, at most 255.

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
    truth, column = label_map.flatten(), prediction.flatten()
    if truth.dtype != torch.uint8:
        known = ((truth >= 0) & (truth < num_classes)) | (truth == IGNORE_INDEX)
        _refuse(truth[~known].unique(), num_classes)
        truth = truth.to(torch.uint8)
    if column.dtype != torch.uint8:
        column = column.where((column >= 0) & (column < num_classes), IGNORE_INDEX).to(torch.uint8)
    counts = joint_counts(truth, column)
    _refuse(counts[num_classes:IGNORE_INDEX].any(1).nonzero().flatten() + num_classes, num_classes)
    hits_and_misses, void = counts[:num_classes, :num_classes], counts[:num_classes, num_classes:]
    return torch.cat([hits_and_misses, void.sum(1, keepdim=True)], 1)


def joint_counts(first: Tensor, second: Tensor) -> Tensor:
    """How often each pair of values occurs.

    Args:
        first: uint8, any shape.
        second: uint8, of the same shape.

    Returns:
        (256, 256) int64; `first` by rows.
    """
    # One int32 number a pixel. Picking the valid pixels in int64 first takes twenty times as long.
    code = first.flatten().to(torch.int32).mul_(256).add_(second.flatten())
    return torch.bincount(code, minlength=256 * 256).reshape(256, 256)


def _refuse(strange: Tensor, num_classes: int) -> None:
    if strange.numel():
        ids = ", ".join(str(value) for value in strange.tolist())
        raise ValueError(f"The label map holds {ids}; train ids are 0 to {num_classes - 1}, and {IGNORE_INDEX}.")


def count_groups(confusion: Tensor, groups: Sequence[Collection[int]]) -> Tensor:
    """The matrix of groups of classes: what is confused inside a group is right.

    Args:
        confusion: (..., K, K + 1) int64.
        groups: Train ids of each of G groups, such as the values of CATEGORIES; groups do not overlap.

    Returns:
        (..., G, G + 1) int64. A pixel predicted as a class of no group counts in the last column.
    """
    rows = torch.stack([confusion[..., list(group), :].sum(-2) for group in groups], -2)  # (..., G, K + 1)
    columns = torch.stack([rows[..., list(group)].sum(-1) for group in groups], -1)  # (..., G, G)
    return torch.cat([columns, (rows.sum(-1) - columns.sum(-1)).unsqueeze(-1)], -1)


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


def precision_per_class(confusion: Tensor) -> Tensor:
    """Share of the pixels predicted as a class that are of it, (..., K) float64; NaN for a class never predicted.

    As in the IoU, only pixels that have a class count.
    """
    return confusion.diagonal(dim1=-2, dim2=-1).double() / confusion[..., :-1].sum(-2)


def f1_per_class(confusion: Tensor) -> Tensor:
    """Harmonic mean of precision and recall, (..., K) float64; NaN where the IoU is. Equals 2 IoU / (1 + IoU)."""
    ious = iou_per_class(confusion)
    return 2 * ious / (1 + ious)


def frequency_weighted_iou(confusion: Tensor) -> Tensor:
    """Mean of the IoUs, each weighted by its class's share of the valid pixels, (...) float64; NaN without a pixel."""
    labelled = confusion.sum(-1)
    weighted = iou_per_class(confusion).nan_to_num(0.0) * labelled  # an absent class weighs nothing
    return weighted.sum(-1) / labelled.sum(-1)


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
    """How far the mean IoU could have moved with other images of the same kind: a percentile bootstrap.

    Args:
        confusions: (N, K, K + 1) int64, one matrix for each unit that is drawn: an image, or all of a drive
            (`segment.metrics.resampling`).
        seed: Of the resampling; the same seed gives the same interval.
        train_ids: As in `mean_iou`.
        samples: Number of resampled sets of N units.
        level: Share of them that lie inside the interval.

    Returns:
        (low, high); NaN for fewer than two units, which say nothing about others.
    """
    if confusions.shape[0] < 2:
        return math.nan, math.nan
    scores = mean_iou(_resampled(confusions, seed, samples), train_ids)
    low, high = scores.nanquantile(_tails(level)).tolist()
    return low, high


@dataclass(frozen=True)
class Differences:
    """Scores of one network minus those of another on the same images; each with the interval of its bootstrap."""

    iou: Tensor
    """(K,) float64; NaN for a class that one of the two has no IoU of."""
    iou_interval: Tensor
    """(2, K): low and high."""
    mean_iou: float
    mean_iou_interval: tuple[float, float]


def paired_differences(
    confusions: Tensor,
    reference: Tensor,
    seed: int,
    train_ids: Sequence[int] | None = None,
    samples: int = 1000,
    level: float = 0.95,
) -> Differences:
    """How far one network is ahead of another, and how far that could have moved with other images of the same kind.

    Both are resampled by the same draws of units. What makes an image hard is so for both and leaves the difference,
    which is why this interval is far narrower than the two of `bootstrap_interval`, and overlapping ones prove nothing.

    Args:
        confusions: (N, K, K + 1) int64, one matrix for each unit, as in `bootstrap_interval`.
        reference: Of the network that is subtracted, on the same units in the same order.
        seed: Of the resampling.
        train_ids: Of the mean, as in `mean_iou`.
        samples: Number of resampled sets of N units.
        level: Share of them that lie inside each interval.

    Raises:
        ValueError: The two are not counted on the same labels.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13: percentile intervals.
    """
    if confusions.shape != reference.shape or not torch.equal(confusions.sum(-1), reference.sum(-1)):
        raise ValueError("The two are not counted on the same labels: they differ in the pixels of some class.")
    iou = iou_per_class(confusions.sum(0)) - iou_per_class(reference.sum(0))
    mean = float(mean_iou(confusions.sum(0), train_ids) - mean_iou(reference.sum(0), train_ids))
    if confusions.shape[0] < 2:
        return Differences(iou, torch.full((2, len(iou)), math.nan, dtype=torch.float64), mean, (math.nan, math.nan))
    first, second = (_resampled(counts, seed, samples) for counts in (confusions, reference))
    interval = (iou_per_class(first) - iou_per_class(second)).nanquantile(_tails(level), dim=0)
    interval = interval.where(iou.isfinite(), math.nan)
    low, high = (mean_iou(first, train_ids) - mean_iou(second, train_ids)).nanquantile(_tails(level)).tolist()
    return Differences(iou, interval, mean, (low, high))


def _resampled(confusions: Tensor, seed: int, samples: int) -> Tensor:
    """(samples, K, K + 1) float64: matrices of sets of units drawn with replacement; the seed tells the draws."""
    units = confusions.shape[0]
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(units, (samples, units), generator=generator)
    times_drawn = torch.zeros(samples, units, dtype=torch.float64).scatter_add_(
        1, draws, torch.ones(samples, units, dtype=torch.float64)
    )
    # Counts up to 2 ** 53 are exact in float64, for which, unlike for int64, matrix products are fast.
    resampled = times_drawn @ confusions.cpu().flatten(1).double()
    return resampled.reshape(samples, *confusions.shape[1:])


def _tails(level: float) -> Tensor:
    return torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)


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


def gap_interval(
    source_only: Tensor,
    adapted: Tensor,
    oracle: Tensor,
    seed: int,
    train_ids: Sequence[int] | None = None,
    samples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """How far the share of the gap that is closed could have moved with other images of the same kind.

    All three networks are resampled by the same draws of units, so that what makes an image hard counts for all of
    them; trainings of several seeds are averaged before the share is taken, as it is itself.

    Args:
        source_only: (S, N, K, K + 1) int64, of S trainings one matrix for each unit, as in `bootstrap_interval`.
        adapted: The same of the network in question.
        oracle: The same of the oracle.
        seed: Of the resampling.
        train_ids: Of the means, as in `mean_iou`.
        samples: Number of resampled sets of N units.
        level: Share of them that lie inside the interval.

    Returns:
        Low and high. NaN for a single unit, and where more of the resampled sets than may lie below the interval have
        no gap: what they leave is no sample of it.
    """
    if source_only.shape[1] < 2:
        return math.nan, math.nan
    low, middle, high = (
        torch.stack([mean_iou(_resampled(counts, seed, samples), train_ids) for counts in trainings]).mean(0)
        for trainings in (source_only, adapted, oracle)
    )
    shares = ((middle - low) / (high - low)).where(high > low, math.nan)
    if shares.isnan().double().mean() > (1 - level) / 2:
        return math.nan, math.nan
    smallest, largest = shares.nanquantile(_tails(level)).tolist()
    return smallest, largest
