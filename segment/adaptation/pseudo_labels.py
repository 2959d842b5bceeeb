"""Pseudo-labels: what a network says of frames without labels, taken for labels as far as it is sure; and its log."""

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.adaptation.guards import PSEUDO_SHARE, PSEUDO_WEIGHT, TARGET_SHARE
from segment.classes import IGNORE_INDEX, name_of_class


@torch.no_grad()
def log_of_pseudo_labels(pseudo_label: Tensor, weight: Tensor, classes: int) -> dict[str, Tensor]:
    """For the log: how much pseudo-labels are believed in the mean, and the share of each class among them.

    Args:
        pseudo_label: int64 (B, H, W), each below `classes`; 255, no label, counts in no share.
        weight: (B, H, W).
        classes: How many the network tells apart.

    Returns:
        Scalars on the tensors' device, under the names that `segment.adaptation.guards` looks for.
    """
    return {PSEUDO_WEIGHT: weight.float().mean()} | _shares(pseudo_label, classes, PSEUDO_SHARE)


@torch.no_grad()
def seen_in_target(logits: Tensor) -> dict[str, Tensor]:
    """For the log: the share of each class in what a network sees in target frames.

    Args:
        logits: (B, K, H, W), of target frames.

    Returns:
        Scalars on the logits' device, under the names that `segment.adaptation.guards` looks for.
    """
    return _shares(logits.max(dim=1).indices, logits.shape[1], TARGET_SHARE)


def _shares(label_map: Tensor, classes: int, prefix: str) -> dict[str, Tensor]:
    ids = torch.where(label_map == IGNORE_INDEX, classes, label_map).flatten()
    counts = torch.zeros(classes + 1, device=label_map.device)
    counts = counts.index_add_(0, ids, torch.ones(len(ids), device=label_map.device))[:classes]
    shares = counts / counts.sum().clamp(min=1)
    return {f"{prefix}{name_of_class(k, classes)}": share for k, share in enumerate(shares)}


CONFIDENCES = 256
"""Steps in which a confidence is kept: a byte, 255 for certainty."""


def class_thresholds(counts: Tensor, kept_share: float, largest: float) -> Tensor:
    """The confidence from which on a pixel's pseudo-label counts, for each class by itself.

    One threshold for all would leave nothing of the classes that a network is never sure of.

    Args:
        counts: int64 (K, 256): of the pixels that are given to each class, how many have each confidence.
        kept_share: Share of each class's pixels, its surest, to keep at least, in [0, 1].
        largest: No threshold lies above this probability: whoever is so sure counts in any case.

    Returns:
        int64 (K,), in steps of the confidence: the highest that keeps the share. 256, which nothing reaches, for a
        class that no pixel is given to.

    Source: Zou, Yu, Kumar, Wang, CBST, ECCV 2018 (arXiv:1810.07911), eq. 4 and algorithm 2; `largest` is FDA's (Yang
        and Soatto, CVPR 2020).
    """
    at_least = counts.flip(1).cumsum(1).flip(1)  # (K, 256): pixels of that confidence or more
    total = at_least[:, :1]
    enough = (at_least >= kept_share * total) & (total > 0)
    # Ever fewer pixels are left as the confidence rises: the last step with enough is the number of those, less one.
    thresholds = (enough.sum(1) - 1).clamp(max=round(largest * (CONFIDENCES - 1)))
    return torch.where(total[:, 0] > 0, thresholds, CONFIDENCES)


def assigned_labels(candidates: Tensor, confidences: Tensor, thresholds: Tensor) -> Tensor:
    """Give each pixel to the class whose confidence is the most times its threshold, and to none below one time.

    Args:
        candidates: int64 (N, H, W): the classes a pixel may be given to, the likeliest first; of classes that are level
            the first has it. With the likeliest alone a class keeps its surest pixels and gains no other.
        confidences: (N, H, W), those of the candidates, in steps of the confidence.
        thresholds: int64 (K,), as `class_thresholds`.

    Returns:
        int64 (H, W): class ids, and 255 where no candidate reaches its threshold.

    Source: Zou, Yu, Kumar, Wang, CBST, ECCV 2018 (arXiv:1810.07911), eq. 4, which weighs all classes.
    """
    times = confidences / thresholds.clamp(min=1)[candidates]
    most, index = times.max(dim=0)
    label_map = candidates.gather(0, index.unsqueeze(0)).squeeze(0)
    return torch.where(most >= 1, label_map, IGNORE_INDEX)


def class_sums(features: Tensor, label_map: Tensor, classes: int) -> Tensor:
    """Sums of the features that are given to each class, and their numbers: what prototypes are made of.

    Args:
        features: (B, C, h, w).
        label_map: int64 (B, h, w), each below `classes`.

    Returns:
        float64 (classes, C + 1), the number last.
    """
    rows = features.movedim(1, -1).flatten(0, 2).double()  # (B*h*w, C)
    sums = rows.new_zeros(classes, rows.shape[1] + 1)
    return sums.index_add_(0, label_map.flatten(), torch.cat([rows, rows.new_ones(len(rows), 1)], dim=1))


def denoised(probabilities: Tensor, features: Tensor, sums: Tensor, temperature: float) -> Tensor:
    """Probabilities weighed by how near each place's features are to those of the classes.

    Args:
        probabilities: (B, K, H, W).
        features: (B, C, h, w), of any size.
        sums: (K, C + 1), as `class_sums` of all frames; a class that no place is given to keeps no probability.
        temperature: Divides the distances.

    Returns:
        (B, K, H, W), again summing to 1.

    Source: Zhang et al., ProDA, CVPR 2021 (arXiv:2101.10979), eq. 4 and 5. Differs: prototypes are the means over all
        frames of a round, where ProDA moves them at every step.
    """
    seen = sums[:, -1] > 0
    prototypes = (sums[:, :-1] / sums[:, -1:].clamp(min=1)).to(features.dtype)
    rows = features.movedim(1, -1)  # (B, h, w, C)
    distance = torch.cdist(rows.flatten(0, 2).float(), prototypes.float()).view(*rows.shape[:3], -1).movedim(-1, 1)
    near = (-distance / temperature).masked_fill(~seen.view(1, -1, 1, 1), -torch.inf).softmax(dim=1)
    near = F.interpolate(near, probabilities.shape[-2:], mode="bilinear", align_corners=False)
    weighed = near * probabilities
    return weighed / weighed.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weighed.dtype).tiny)
