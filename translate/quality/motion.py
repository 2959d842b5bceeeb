"""Temporal stability: how much a sequence flickers once its motion is taken out.

Lai et al., ECCV 2018 (arXiv:1808.00449), sec. 4: each frame is warped onto the next, and the rest is flicker. The flow
is the caller's, measured on the source, whose motion the translation shares; the source's own figure is the yardstick.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Fetch each pixel from where the flow points, bilinearly; places outside take the border's value.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, H, W) in pixels, across and down: the result at p is the image at p + flow(p).

    Returns:
        (B, C, H, W).
    """
    height, width = image.shape[-2:]
    across, down = _places(flow)
    grid = torch.stack([2 * across / max(width - 1, 1) - 1, 2 * down / max(height - 1, 1) - 1], dim=-1)
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def visible_before(flow: Tensor, return_flow: Tensor) -> Tensor:
    """Which pixels of a frame were in the one before: the flow there and back ends where it began.

    Args:
        flow: (B, 2, H, W) from the frame to the one before.
        return_flow: (B, 2, H, W) from the one before to the frame.

    Returns:
        bool (B, 1, H, W); False where the flow leaves the picture, or where something was hidden.

    Source: Sundaram et al., ECCV 2010, eq. 5, with its constants.
    """
    height, width = flow.shape[-2:]
    across, down = _places(flow)
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    back = warp(return_flow, flow)
    gap = (flow + back).square().sum(1)
    allowed = 0.01 * (flow.square().sum(1) + back.square().sum(1)) + 0.5
    return (inside & (gap < allowed))[:, None]


def flow_warped_difference(previous: Tensor, current: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Mean absolute difference between a frame and the one before, brought onto it.

    Args:
        previous: (B, 3, H, W) in [0, 1].
        current: Of the same shape.
        flow: (B, 2, H, W) from `current` to `previous`, in pixels.
        visible: bool (B, 1, H, W), the pixels that count.

    Returns:
        (B,) in [0, 1]; NaN where no pixel counts.
    """
    difference = (current - warp(previous, flow)).abs().mean(1, keepdim=True)
    counted = visible.flatten(1).sum(1)
    return (difference * visible).flatten(1).sum(1) / counted


def _places(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Where the flow of each pixel ends: columns and rows, (B, H, W) each."""
    height, width = flow.shape[-2:]
    columns = torch.arange(width, dtype=flow.dtype, device=flow.device)
    rows = torch.arange(height, dtype=flow.dtype, device=flow.device)
    return flow[:, 0] + columns[None, None, :], flow[:, 1] + rows[None, :, None]
