"""Pseudo-labels: what a network says of frames without labels, taken for labels as far as it is sure."""

import torch
from torch import Tensor

from segment.classes import name_of_class
from segment.guards import PSEUDO_SHARE, PSEUDO_WEIGHT


@torch.no_grad()
def told(pseudo_label: Tensor, weight: Tensor, classes: int) -> dict[str, Tensor]:
    """For the log: how much pseudo-labels are believed in the mean, and the share of each class among them.

    Args:
        pseudo_label: int64 (B, H, W), each below `classes`.
        weight: (B, H, W).
        classes: How many the network tells apart.

    Returns:
        Scalars on the tensors' device, under the names that `segment.guards` looks for.
    """
    counts = torch.zeros(classes, device=weight.device)
    counts.index_add_(0, pseudo_label.flatten(), torch.ones_like(weight.flatten(), dtype=torch.float32))
    shares = counts / counts.sum()
    named = {f"{PSEUDO_SHARE}{name_of_class(k, classes)}": share for k, share in enumerate(shares)}
    return {PSEUDO_WEIGHT: weight.float().mean()} | named
