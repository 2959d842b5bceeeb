"""Paints label maps in the Cityscapes colours, so that a person can look at what a network says."""

import torch
from torch import Tensor

from segment.classes import PALETTE


def paint_classes(label_map: Tensor) -> Tensor:
    """A colour picture of a label map.

    Args:
        label_map: (B, H, W), any integer type, values 0..255.

    Returns:
        (B, 3, H, W) float in [0, 1]; ignored pixels and ids that are no class are black.
    """
    table = torch.zeros(256, 3)
    table[: len(PALETTE)] = torch.tensor(PALETTE) / 255
    return table.to(label_map.device)[label_map.long()].permute(0, 3, 1, 2).contiguous()
