"""Patches of Laplacian pyramids: how images look at each scale, made ready for the sliced Wasserstein distance.

Karras et al., ICLR 2018 (arXiv:1710.10196), sec. 5: a small distance at the coarse levels says that the sets agree in
large structures, one at the fine levels that they agree in texture and noise.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

PATCH = 7
"""Side of the patches."""

SMALLEST_LEVEL = 16
"""Height of the coarsest level."""


def laplacian_pyramid(image: Tensor, levels: int) -> list[Tensor]:
    """Band-pass images from fine to coarse; the last holds what is left.

    Args:
        image: (B, C, H, W).
        levels: At least 1; each but the last is the difference to the image without its finest octave.

    Returns:
        One tensor per level, sides halved (rounded up) each time.
    """
    pyramid = []
    for _ in range(levels - 1):
        coarser = _blurred(image)[..., ::2, ::2]
        pyramid.append(image - _enlarged(coarser, image.shape[-2:]))
        image = coarser
    return [*pyramid, image]


def level_heights(height: int) -> list[int]:
    """Heights of the levels of images of a height, halved (rounded up) down to about 16: 256, 128, 64, 32, 16."""
    heights = [height]
    while (heights[-1] + 1) // 2 >= SMALLEST_LEVEL:
        heights.append((heights[-1] + 1) // 2)
    return heights


def coarsest_side(side: int, levels: int) -> int:
    """What a side of an image is at the last of so many levels."""
    return -(-side // 2 ** (levels - 1))


def draw_patches(image: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random patches of one image.

    Args:
        image: (C, H, W), sides of at least 7.
        count: How many; they may overlap.
        generator: On the CPU, so that draws are the same on every device.

    Returns:
        (count, C, 7, 7).

    Raises:
        ValueError: The image is smaller than a patch.
    """
    height, width = image.shape[-2:]
    if min(height, width) < PATCH:
        raise ValueError(f"The image is {width}x{height}; patches are {PATCH}x{PATCH}. Use larger images.")
    top = torch.randint(height - PATCH + 1, (count, 1, 1), generator=generator)
    left = torch.randint(width - PATCH + 1, (count, 1, 1), generator=generator)
    side = torch.arange(PATCH)
    rows, columns = top + side[None, :, None], left + side[None, None, :]
    return image[:, rows.to(image.device), columns.to(image.device)].transpose(0, 1)  # (count, C, 7, 7)


def descriptors(patches: Tensor) -> Tensor:
    """Patches (N, C, 7, 7) of one set and level as rows (N, C·49), each channel with mean 0 and deviation 1."""
    centred = patches - patches.mean((0, 2, 3), keepdim=True)
    deviation = patches.std((0, 2, 3), correction=0, keepdim=True).clamp_min(torch.finfo(patches.dtype).eps)
    return (centred / deviation).flatten(1)


def _kernel(image: Tensor) -> Tensor:
    """The binomial 5x5 filter, one for each channel."""
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=image.dtype, device=image.device) / 16
    return torch.outer(row, row).expand(image.shape[1], 1, 5, 5)


def _blurred(image: Tensor, gain: float = 1.0) -> Tensor:
    return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), _kernel(image) * gain, groups=image.shape[1])


def _enlarged(image: Tensor, size: torch.Size) -> Tensor:
    """Zeros between the pixels, blurred; four times as bright, for three of four are zero."""
    spread = image.new_zeros(*image.shape[:2], 2 * image.shape[-2], 2 * image.shape[-1])
    spread[..., ::2, ::2] = image
    return _blurred(spread, gain=4.0)[..., : size[0], : size[1]]
