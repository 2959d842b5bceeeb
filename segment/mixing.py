"""Two frames made into one, and their labels with them."""

import torch
from torch import Tensor

from segment.classes import IGNORE_INDEX


def half_of_the_classes(label_map: Tensor) -> Tensor:
    """The pixels of a random half of the classes that each frame holds; the larger half where they are odd.

    Args:
        label_map: int64 (B, H, W), 255 = ignore: no class, and never drawn.

    Returns:
        bool (B, H, W). Draws from torch's global generator.

    Source: Olsson et al., ClassMix, WACV 2021 (arXiv:2007.07936), as DACS takes it to the labels of the source.
    """
    ids = torch.where(label_map == IGNORE_INDEX, _CLASSES, label_map).flatten(1)
    present = torch.zeros(len(ids), _CLASSES + 1, dtype=torch.bool, device=ids.device).scatter_(1, ids, True)
    present[:, _CLASSES] = False
    # Ranks of random numbers, absent classes last: nothing is asked of the device in between.
    draws = torch.rand(present.shape, device=ids.device).masked_fill(~present, 2.0)
    rank = draws.argsort(dim=1).argsort(dim=1)
    chosen = present & (rank < (present.sum(dim=1, keepdim=True) + 1) // 2)
    return chosen.gather(1, ids).view(label_map.shape)


_CLASSES = 255
"""Ids that a label map may hold."""


def pasted(mask: Tensor, over: Tensor, under: Tensor) -> Tensor:
    """`over` where the mask is true, `under` elsewhere.

    Args:
        mask: bool (B, H, W).
        over: (B, H, W) or (B, C, H, W).
        under: Of the same shape.
    """
    return torch.where(mask if over.ndim == 3 else mask[:, None], over, under)
