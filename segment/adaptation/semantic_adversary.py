"""Which class, in which domain, do these features come from? What a discriminator of meaning is taught and asked.

One that tells domains apart and no more may be satisfied by a road that looks like another domain's sky. Wang et al.,
"Alleviating Semantic-level Shift: A Semi-supervised Domain Adaptation Method for Semantic Segmentation" (ASS), CVPR
Workshops 2020 (arXiv:2004.00794): twice as many answers as classes, first the source's, then the target's.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.adaptation.adversarial import TARGET
from segment.classes import IGNORE_INDEX

NOTHING = -100
"""The answer where there is no class; 255 may be one of twice as many answers as classes."""


def labels_at(label_map: Tensor, size: tuple[int, int]) -> Tensor:
    """The labels (B, H, W) of the locations of a map of features, (B, h, w): each that of the nearest pixel."""
    return F.interpolate(label_map[:, None].float(), size, mode="nearest-exact")[:, 0].long()


def class_means(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The mean feature of each class, image by image.

    Args:
        features: (B, C, h, w); gradients flow.
        labels: int64 (B, h, w) train ids; 255 = ignore, which belongs to no class.
        classes: K.

    Returns:
        (B, C, K, 1), like a map of which each place is a class, in single precision; and its labels int64 (B, K, 1),
        255 for a class that the image does not show.

    Source: ASS, eq. 4, which is 0/0 for these.
    """
    numbers = torch.arange(classes, device=labels.device)
    shown = (labels.flatten(1)[:, :, None] == numbers).float()  # (B, h*w, K)
    counts = shown.sum(1)
    with torch.autocast(features.device.type, enabled=False):
        means = features.flatten(2).float() @ shown / counts.clamp(min=1)[:, None]
    return means[..., None], torch.where(counts > 0, numbers, IGNORE_INDEX)[..., None]


def answers(labels: Tensor, classes: int, domain: float) -> Tensor:
    """What a discriminator is to say of labels of any shape: k of the source's class k, K + k of the target's.

    Args:
        labels: int64 train ids; 255 = ignore, for which -100 is given.
        classes: K.
        domain: SOURCE or TARGET, as a discriminator of domains names them.
    """
    return torch.where(labels == IGNORE_INDEX, NOTHING, labels + classes * int(domain == TARGET))


def classes_shown(labels: Tensor, classes: int) -> Tensor:
    """How many of the classes an image shows, in the mean over images: a scalar. `labels` as `class_means` has them."""
    numbers = torch.arange(classes, device=labels.device)
    return (labels.flatten(1)[:, :, None] == numbers).any(1).sum() / len(labels)


def cross_entropy_of_classes(judged: Tensor, answers: Tensor) -> Tensor:
    """Summed over the classes that an image shows, averaged over images: FCSA of ASS.

    Args:
        judged: (B, 2K, K, 1), logits of the means of classes.
        answers: int64 (B, K, 1); -100 where there is none.
    """
    return F.cross_entropy(judged.float(), answers, ignore_index=NOTHING, reduction="sum") / len(judged)


def cross_entropy_of_locations(judged: Tensor, answers: Tensor) -> Tensor:
    """Averaged over all locations that have a class; zero, with gradients of zero, if none has one: its CSA.

    Args:
        judged: (B, 2K, h, w), logits of features.
        answers: int64 (B, h, w); -100 where there is none.
    """
    total = F.cross_entropy(judged.float(), answers, ignore_index=NOTHING, reduction="sum")
    return total / (answers != NOTHING).sum().clamp(min=1)
