"""Pseudo-labels: what a network says of frames without labels, taken for labels as far as it is sure; and its log."""

import torch
from torch import Tensor

from segment.classes import name_of_class
from segment.guards import PSEUDO_SHARE, PSEUDO_WEIGHT, TARGET_SHARE


@torch.no_grad()
def log_of_pseudo_labels(pseudo_label: Tensor, weight: Tensor, classes: int) -> dict[str, Tensor]:
    """For the log: how much pseudo-labels are believed in the mean, and the share of each class among them.

    Args:
        pseudo_label: int64 (B, H, W), each below `classes`.
        weight: (B, H, W).
        classes: How many the network tells apart.

    Returns:
        Scalars on the tensors' device, under the names that `segment.guards` looks for.
    """
    return {PSEUDO_WEIGHT: weight.float().mean()} | _shares(pseudo_label, classes, PSEUDO_SHARE)


@torch.no_grad()
def seen_in_target(logits: Tensor) -> dict[str, Tensor]:
    """For the log: the share of each class in what a network sees in target frames.

    Args:
        logits: (B, K, H, W), of target frames.

    Returns:
        Scalars on the logits' device, under the names that `segment.guards` looks for.
    """
    return _shares(logits.max(dim=1).indices, logits.shape[1], TARGET_SHARE)


def _shares(label_map: Tensor, classes: int, prefix: str) -> dict[str, Tensor]:
    counts = torch.zeros(classes, device=label_map.device)
    counts.index_add_(0, label_map.flatten(), torch.ones(label_map.numel(), device=label_map.device))
    shares = counts / counts.sum()
    return {f"{prefix}{name_of_class(k, classes)}": share for k, share in enumerate(shares)}
