"""Label maps as networks take them: one channel per class, one for edges, and which pixels make one thing.

A layout says what is where and nothing about its looks. Edges part things of one class that touch, two parked cars, say
(Wang et al., CVPR 2018, arXiv:1711.11585, sec. 3.3). Everything here is exact on every device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from segment.classes import IGNORE_INDEX

SHOWN = 8
"""Label ids named in one message."""


def class_indices(label_map: Tensor, labels: int, ignore_channel: bool) -> Tensor:
    """Label ids to channel numbers, int64 of the same shape: themselves, and `labels` for ignored pixels.

    Args:
        label_map: Integers, any shape; 255 = ignore.
        labels: Ids go from 0 to labels - 1.
        ignore_channel: Whether ignored pixels have a channel, the one after the labels.

    Raises:
        ValueError: An id is out of range, or pixels are ignored and have no channel; the ids are named.
    """
    ids = label_map.long()
    strange = (ids < 0) | (ids >= labels)
    if ignore_channel:
        strange &= ids != IGNORE_INDEX
    if strange.any():
        found = ids[strange].unique().tolist()
        named = ", ".join(map(str, found[:SHOWN])) + (" and more" if len(found) > SHOWN else "")
        also = f", and {IGNORE_INDEX} for ignored pixels" if ignore_channel else ""
        raise ValueError(f"The label map holds {named}; expected ids from 0 to {labels - 1}{also}.")
    return ids.where(ids < labels, labels)


def one_hot(indices: Tensor, channels: int) -> Tensor:
    """Channel numbers int64 (B, H, W) to float32 (B, channels, H, W), 1 in the channel of each pixel."""
    batch, height, width = indices.shape
    layout = torch.zeros(batch, channels, height, width, device=indices.device)
    return layout.scatter_(1, indices[:, None], 1.0)


def borders(things: Tensor) -> Tensor:
    """Where a pixel's left, right, upper or lower neighbour is of another thing: 1, elsewhere 0.

    Args:
        things: int64 (B, H, W), ids of instances, or labels where there are no instances.

    Returns:
        float32 (B, 1, H, W).
    """
    beside = things[:, :, 1:] != things[:, :, :-1]
    below = things[:, 1:] != things[:, :-1]
    edge = torch.zeros(things.shape, dtype=torch.bool, device=things.device)
    edge[:, :, 1:] |= beside
    edge[:, :, :-1] |= beside
    edge[:, 1:] |= below
    edge[:, :-1] |= below
    return edge[:, None].float()


@dataclass(frozen=True)
class Regions:
    """The things in a batch, numbered from 0 through the whole batch.

    `numbers` int64 (B, H, W) says which region a pixel belongs to. Of each region: `image` its place in the batch,
    `label` its class and `instance` its id (0 throughout without instance maps), all int64 (R,).
    """

    numbers: Tensor
    image: Tensor
    label: Tensor
    instance: Tensor


def regions(indices: Tensor, instance_map: Tensor | None) -> Regions:
    """Pixels of one image, one class and one instance are one region; without instances, those of one class.

    Args:
        indices: int64 (B, H, W), classes.
        instance_map: int64 (B, H, W), ids of at least 0, or None.
    """
    batch, height, width = indices.shape
    image = torch.arange(batch, device=indices.device)[:, None, None].expand_as(indices)
    instance = torch.zeros_like(indices) if instance_map is None else instance_map
    classes, instances = int(indices.max()) + 1, int(instance.max()) + 1
    key = (image * classes + indices) * instances + instance
    found, numbers = key.unique(return_inverse=True)
    return Regions(
        numbers.view(batch, height, width),
        found // (classes * instances),
        found // instances % classes,
        found % instances,
    )


def instance_means(features: Tensor, numbers: Tensor) -> Tensor:
    """Mean of the features within each region: (B, F, H, W) and int64 (B, H, W) to float32 (R, F)."""
    channels = features.shape[1]
    pixels = features.float().permute(0, 2, 3, 1).reshape(-1, channels)
    flat = numbers.flatten()
    count = int(flat.max()) + 1
    sums = pixels.new_zeros(count, channels).index_add(0, flat, pixels)
    sizes = pixels.new_zeros(count, 1).index_add(0, flat, torch.ones_like(pixels[:, :1]))
    return sums / sizes


def painted(values: Tensor, numbers: Tensor) -> Tensor:
    """Give each pixel its region's values: (R, F) and int64 (B, H, W) to (B, F, H, W)."""
    batch, height, width = numbers.shape
    return values.index_select(0, numbers.flatten()).view(batch, height, width, -1).permute(0, 3, 1, 2)
