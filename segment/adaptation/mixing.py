"""Two frames made into one, and their labels with them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from segment.batches import LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.peers import ALONE, Peers


def half_of_the_classes(label_map: Tensor, peers: Peers = ALONE) -> Tensor:
    """The pixels of a random half of the classes that each frame holds; the larger half where they are odd.

    Args:
        label_map: int64 (B, H, W), 255 = ignore: no class, and never drawn.
        peers: The processes that the batch is shared out to.

    Returns:
        bool (B, H, W). Draws from torch's global generator.

    Source: Olsson et al., ClassMix, WACV 2021 (arXiv:2007.07936), as DACS takes it to the labels of the source.
    """
    ids = label_map.flatten(1)
    values = IGNORE_INDEX + 1
    present = torch.zeros(len(ids), values, dtype=torch.bool, device=ids.device).scatter_(1, ids, True)
    present[:, IGNORE_INDEX] = False
    # Ranks of random numbers, absent classes last: nothing is asked of the device in between.
    draws = peers.drawn(lambda frames: torch.rand(frames, values, device=ids.device), len(ids))
    draws = draws.masked_fill(~present, 2.0)
    rank = draws.argsort(dim=1).argsort(dim=1)
    chosen = present & (rank < (present.sum(dim=1, keepdim=True) + 1) // 2)
    return chosen.gather(1, ids).view(label_map.shape)


def pasted(mask: Tensor, over: Tensor, under: Tensor) -> Tensor:
    """`over` where the mask is true, `under` elsewhere.

    Args:
        mask: bool (B, H, W).
        over: (B, H, W) or (B, C, H, W).
        under: Of the same shape.
    """
    return torch.where(mask if over.ndim == 3 else mask[:, None], over, under)


class Mixture(NamedTuple):
    """Frames pasted together from both domains."""

    image: Tensor
    """(B, 3, H, W) in [0, 1]."""
    label_map: Tensor
    """int64 (B, H, W): true labels of what was pasted, pseudo-labels of the rest."""
    weights: Tensor
    """(B, H, W): 1 for true labels, for the others how far they are believed."""


def mixture(mask: Tensor, labelled: LabelledBatch, target: Tensor, pseudo_label: Tensor, weight: Tensor) -> Mixture:
    """Source frames where the mask is true, with their labels, target frames elsewhere, with pseudo-labels.

    Args:
        mask: bool (B, H, W).
        labelled: The source frames.
        target: (B, 3, H, W), as many and of the same size.
        pseudo_label: int64 (B, H, W), of the target.
        weight: (B, H, W), how far each pseudo-label is believed.
    """
    return Mixture(
        pasted(mask, labelled.image, target),
        pasted(mask, labelled.label_map, pseudo_label),
        pasted(mask, torch.ones_like(weight), weight),
    )


def half_rectangle(label_map: Tensor, peers: Peers = ALONE) -> Tensor:
    """A random rectangle of half each frame's area, its sides between half the frame's and all of them.

    Args:
        label_map: (B, H, W); only its shape counts.
        peers: The processes that the batch is shared out to.

    Returns:
        bool (B, H, W). Draws from torch's global generator.

    Source: Yun et al., CutMix, ICCV 2019 (arXiv:1905.04899), with the area held at one half as French et al., BMVC 2020
        (arXiv:1906.01916), have it for segmentation.
    """
    batch, height, width = label_map.shape
    device = label_map.device
    shape, row_drawn, column_drawn = (
        peers.drawn(lambda frames: torch.rand(frames, device=device), batch) for _ in range(3)
    )
    tall = 0.5**shape  # height of the rectangle; its width is 0.5 / tall
    top = row_drawn * (1 - tall) * height
    left = column_drawn * (1 - 0.5 / tall) * width
    row = torch.arange(height, device=device) + 0.5
    column = torch.arange(width, device=device) + 0.5
    rows = (row >= top[:, None]) & (row < (top + tall * height)[:, None])
    columns = (column >= left[:, None]) & (column < (left + 0.5 / tall * width)[:, None])
    return rows[:, :, None] & columns[:, None, :]


MASKS: dict[str, Callable[[Tensor, Peers], Tensor]] = {"classes": half_of_the_classes, "rectangle": half_rectangle}
"""What is pasted over another frame, by the names that settings use."""


def masked_blocks(image: Tensor, block: int, ratio: float, filling: Tensor, peers: Peers = ALONE) -> Tensor:
    """Images of which a share of the square blocks of a grid is filled in, each block by its own draw, but never all.

    Args:
        image: (B, C, H, W).
        block: Side of the blocks in pixels; those at the right and bottom edge may be cut.
        ratio: Probability in [0, 1] of hiding a block.
        filling: What to fill with, broadcast to the image's shape: the mean that the network subtracts, so that it sees
            zeros there.
        peers: The processes that the batch is shared out to.

    Source: Hoyer et al., MIC, CVPR 2023 (arXiv:2212.01322), eq. 4. Draws from torch's global generator.
        Differs: the block of each image's highest draw is always seen. Of few blocks all may be drawn, and batches that
        show nothing have no variance to normalise by: DDRNet-23-slim then has gradients of 1e13, where 60 is usual.
    """
    batch, _, height, width = image.shape
    rows, columns = -(-height // block), -(-width // block)
    drawn = peers.drawn(lambda images: torch.rand(images, 1, rows, columns, device=image.device), batch)
    hidden = (drawn < ratio) & (drawn < drawn.amax((2, 3), keepdim=True))
    hidden = hidden.repeat_interleave(block, 2).repeat_interleave(block, 3)[..., :height, :width]
    return torch.where(hidden, filling, image)
