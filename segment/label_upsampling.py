"""The class of every pixel from coarse logits, without upsampling the logits where the answer is already known.

Bilinear upsampling takes weighted means of neighbouring logits. Where neighbours agree which class is the highest, it
is the highest in every mean of them, too; so only the borders between classes have to be computed. On the CPU,
upsampling and comparing 19 maps of full size takes as long as a fifth of a small network, most of it inside of roads.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 512
"""Blocks computed at once: their logits (2.5 MB of 19 classes and 8x8 pixels) stay in the processor's cache."""
MOST_BORDERS = 0.4
"""Share of blocks on borders above which upsampling everything is faster."""


@dataclass(frozen=True)
class Resizing:
    """How coarse logits become logits of the size asked for, as in `Segmenter.forward` and then `predict_logits`."""

    padded: tuple[int, int]
    """(height, width) of the image as the network saw it; logits are brought to it first."""
    image: tuple[int, int]
    """(height, width) of the image itself, to which they are cropped."""
    size: tuple[int, int]
    """To which they are brought at last."""
    align_corners: bool = False
    """Whether the first step aligns corners; the last one never does."""


@dataclass(frozen=True)
class Blocks:
    """Rows (or columns) of the result in runs that are means of the same few coarse rows."""

    rows: Tensor
    """(n, m) the rows of each run; the last one is repeated where a run is shorter."""
    first: Tensor
    """(n,) the first of its coarse rows."""
    weights: Tensor
    """(n, m, t) of t coarse rows in each row."""
    kind: Tensor
    """(n,) equal for runs of equal weights: all but the first and last where the scale is a whole number."""
    run_of: Tensor
    """(length,) the run that each row belongs to."""


def upsampled_logits(coarse: Tensor, resizing: Resizing) -> Tensor:
    """Logits of the size asked for, (B, K, H, W); what `labels_of` compares."""
    height, width = resizing.image
    logits = coarse
    if tuple(logits.shape[-2:]) != resizing.padded:
        logits = F.interpolate(logits, resizing.padded, mode="bilinear", align_corners=resizing.align_corners)
    logits = logits[..., :height, :width]
    if resizing.size == resizing.image:
        return logits
    return F.interpolate(logits, resizing.size, mode="bilinear", align_corners=False)


def labels_of(coarse: Tensor, resizing: Resizing) -> Tensor:
    """The class with the highest logit at every pixel.

    The same as `upsampled_logits(coarse, resizing).max(1).indices` but for logits that differ by no more than rounding.

    Args:
        coarse: (B, K, h, w) floating point, compared in float32; K at most 256.
        resizing: What lies between them and the result.

    Returns:
        (B, H, W) uint8.
    """
    coarse = coarse.float()
    down = _blocks(coarse.shape[-2], resizing.padded[0], resizing.image[0], resizing.size[0], resizing.align_corners)
    right = _blocks(coarse.shape[-1], resizing.padded[1], resizing.image[1], resizing.size[1], resizing.align_corners)
    if coarse.device.type != "cpu" or min(down.rows.shape[1], right.rows.shape[1]) < 2:
        return _compared(coarse, resizing)  # nothing to save

    labels = highest(coarse)  # (B, h, w)
    corner = labels[:, down.first][:, :, right.first]  # (B, runs down, runs right)
    agreed = torch.ones_like(corner, dtype=torch.bool)
    for i in range(down.weights.shape[2]):
        beside = labels[:, down.first + i]
        for j in range(right.weights.shape[2]):
            agreed &= beside[:, :, right.first + j] == corner
    borders = (~agreed).nonzero()
    if len(borders) > MOST_BORDERS * agreed.numel():
        return _compared(coarse, resizing)
    # Columns first, while there are few rows; then whole rows are copied.
    result = corner.index_select(2, right.run_of).index_select(1, down.run_of)
    kinds = down.kind[borders[:, 1]] * len(right.kind) + right.kind[borders[:, 2]]
    usual = kinds == kinds.mode().values if len(kinds) else kinds.bool()  # equal weights are multiplied at once
    pixels = coarse.permute(0, 2, 3, 1).contiguous()
    for group, alike in ((borders[usual], True), (borders[~usual], False)):
        for part in group.split(CHUNK) if len(group) else ():
            _fill(result, pixels, part, down, right, alike)
    return result


def _compared(coarse: Tensor, resizing: Resizing) -> Tensor:
    return highest(upsampled_logits(coarse, resizing))


def highest(logits: Tensor) -> Tensor:
    """The first class with the highest logit, as `logits.max(dim=1).indices`, uint8 (B, ...) of logits (B, K, ...).

    On the CPU, where looking for a maximum's place takes long (12 ms of 19 classes at 1024x512, 5 of them so; 55 with
    `argmax`), the maximum is found first. The places that equal it are then numbered from the last class up.
    """
    classes = logits.shape[1]
    if logits.device.type != "cpu":
        return logits.max(dim=1).indices.to(torch.uint8)
    equal = (logits == logits.amax(dim=1, keepdim=True)).view(torch.uint8)
    from_last = torch.arange(classes - 1, -1, -1, dtype=torch.uint8).view(-1, *[1] * (logits.ndim - 2))
    return equal.mul_(from_last).amax(dim=1).neg_().add_(classes - 1)


def _fill(result: Tensor, pixels: Tensor, blocks: Tensor, down: Blocks, right: Blocks, alike: bool) -> None:
    """Compute blocks pixel by pixel, in place.

    Args:
        result: (B, H, W) uint8.
        pixels: (B, h, w, K) coarse logits.
        blocks: (N, 3) image, run down and run right of each.
        down: Runs of rows.
        right: Runs of columns.
        alike: Whether all have the same weights.
    """
    image, i, j = blocks[:, 0, None, None], blocks[:, 1], blocks[:, 2]
    rows = down.first[i][:, None, None] + torch.arange(down.weights.shape[2])[:, None]
    columns = right.first[j][:, None, None] + torch.arange(right.weights.shape[2])
    corners = pixels[image, rows, columns].flatten(1, 2).transpose(1, 2)  # (N, K, t * t)
    of = slice(0, 1) if alike else slice(None)
    weights = torch.einsum("nyi,nxj->nijyx", down.weights[i[of]], right.weights[j[of]])
    weights = weights.flatten(1, 2).flatten(2)  # (1 or N, t * t, m * m)
    logits = corners @ weights[0] if alike else torch.bmm(corners, weights)  # (N, K, m * m)
    labels = highest(logits)
    result[image, down.rows[i][:, :, None], right.rows[j][:, None, :]] = labels.view(
        len(blocks), down.rows.shape[1], right.rows.shape[1]
    )


@lru_cache(maxsize=64)
def _blocks(coarse: int, padded: int, image: int, size: int, align_corners: bool) -> Blocks:
    """Runs along one side of `size`, made of `coarse` rows."""
    matrix = _interpolation(coarse, padded, align_corners)[:image]
    if size != image:
        matrix = _interpolation(image, size, False) @ matrix  # (size, coarse)
    used = matrix > 0
    low = used.int().argmax(1)
    reach = int((coarse - used.flip(1).int().argmax(1) - low).max())
    low = low.clamp(max=coarse - reach).tolist()
    longest = max(1, round(size / (coarse * image / padded)))
    starts = [0]
    for row in range(1, size):
        if low[row] != low[starts[-1]] or row - starts[-1] == longest:
            starts.append(row)
    start = torch.tensor(starts)
    ends = torch.tensor([*starts[1:], size])
    rows = torch.minimum(start[:, None] + torch.arange(longest), ends[:, None] - 1)
    first = torch.tensor(low)[start]
    weights = matrix[rows[:, :, None], first[:, None, None] + torch.arange(reach)].float()
    run_of = torch.repeat_interleave(torch.arange(len(starts)), ends - start)
    kind = weights.flatten(1).unique(dim=0, return_inverse=True)[1]
    return Blocks(rows, first, weights, kind, run_of)


def _interpolation(inputs: int, outputs: int, align_corners: bool) -> Tensor:
    """The matrix (outputs, inputs), double, of one side's linear interpolation."""
    identity = torch.eye(inputs, dtype=torch.float64)
    if inputs == outputs:
        return identity
    return F.interpolate(identity[None], outputs, mode="linear", align_corners=align_corners)[0].T
