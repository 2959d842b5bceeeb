"""3x3 convolution for training: Winograd's algorithm forward, and transposed for both gradients.

Tile by tile, with B d the inputs d at the points and G g the filters there, the outputs are A of their products,
summed over channels (Lavin and Gray, arXiv:1509.09308). All of it is linear in each of its factors, so the gradients
are the transposed matrices in the opposite order, and cost no more than a third of the multiplications either.

At 256 channels of 64x64 on one core of an AMD EPYC (bf16 products at twice the rate of float32), CPU time forward and
backward: direct 141 ms in float32 and 70 in bf16, so 73 and 37 (`benchmarks/layers.py --parts learning`).
"""

import math
import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from translate.fast.winograd import Tile, point_matrices

EXACT_TILES = (4, 4), (4, 4)
"""Sides of the output tiles, forward and backward, in float32: rounding errors of 1e-6."""
ROUGH_TILES = (2, 4), (4, 4)
"""Sides of the output tiles in bf16, where products round by 0.9 % of the outputs' size with the one and 1.5 % with the
other, direct ones by 0.3 %. What is rounded forward is passed on by every layer that follows; gradients are noisy
anyhow."""
TILES_TOGETHER = 128
"""Tiles of an image and of those after it that are computed in one go. Few tiles would not repay reading the filters at
the points, which are four times as large as the filters: two images of (256, 16, 16) on one core of an AMD EPYC (AVX2
alone) take 32 ms one by one and 24 together, directly 28. Features of many would not stay in the cache."""


def mirrored_convolution(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 3x3 convolution, of stride 1, of features that are mirrored by one pixel; under autocast, in its precision.

    Args:
        features: (B, C, H, W); both sides at least 2.
        weight: (O, C, 3, 3).
        bias: (O).

    Returns:
        (B, O, H, W), channels-last. Can be differentiated once.
    """
    device = features.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
    tiles = EXACT_TILES if dtype in (torch.float32, torch.float64) else ROUGH_TILES
    return _Mirrored.apply(features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype), *tiles)


class Scratch(threading.local):
    """Memory that each thread keeps for what is needed for a moment.

    Allocated for each layer anew, it would leave holes between the features that are kept for the gradients: of a
    training of CycleGAN at 256x256 they are 0.8 GB of 3.4.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def tensor(self, role: str, size: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Uninitialised, and valid until the next of the same role is asked for."""
        count = math.prod(size)
        kept = self.kept.get((role, dtype))
        if kept is None or kept.numel() < count:
            kept = self.kept[role, dtype] = torch.empty(count, dtype=dtype)
        return kept[:count].view(size)


SCRATCH = Scratch()


class _Mirrored(torch.autograd.Function):
    """Keeps the features and the weights alone: the inputs at the points are computed again for the gradients.

    So many images at once as their features at the points stay in the processor's cache.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, forward_tile: Tile, backward_tile: Tile
    ) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.tile = backward_tile
        outputs = features.new_empty(len(features), *features.shape[2:], len(weight))
        points = _Points(forward_tile, features)
        filters = points.of_filters(weight).transpose(1, 2)
        for images, output in zip(features.split(points.together), outputs.split(points.together), strict=True):
            points.to_output_of(points.multiplied(points.of_input(images), filters), output)
        if bias is not None:
            outputs += bias
        return outputs.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None, None]:
        features, weight = ctx.saved_tensors
        points = _Points(ctx.tile, features)
        together = points.together
        of_features = torch.empty_like(features) if ctx.needs_input_grad[0] else None
        filters = points.of_filters(weight)
        of_filters = weight.new_zeros(9, weight.shape[:2].numel()) if ctx.needs_input_grad[1] else None
        of_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        for first in range(0, len(features), together):
            some = slice(first, first + together)
            at_points = points.of_output_gradient(gradient[some])
            if of_features is not None:
                points.to_input_gradient(points.multiplied(at_points, filters), of_features[some])
            if of_filters is not None:
                products = points.multiplied(at_points.transpose(1, 2), points.of_input(features[some]))
                of_filters += points.to_filter_gradient(products)
        of_weight = None if of_filters is None else of_filters.view(3, 3, *weight.shape[:2]).permute(2, 3, 0, 1)
        return of_features, of_weight, of_bias, None, None


class _Points:
    """Features and filters at the p points of all T tiles of some images, and the ways to and from there."""

    def __init__(self, tile: Tile, features: Tensor) -> None:
        self.tile = self.down, self.right = tile
        self.height, self.width = features.shape[2:]
        self.rows, self.columns = -(-self.height // self.down), -(-self.width // self.right)
        self.together = max(1, TILES_TOGETHER // (self.rows * self.columns))
        self.beyond = 0, self.columns * self.right - self.width, 0, self.rows * self.down - self.height
        self.to_input, self.to_filter, self.to_output = point_matrices(tile, features.dtype)

    def of_input(self, images: Tensor) -> Tensor:
        """(B, C, H, W) to (p, T, C)."""
        padded = functional.pad(images, (1, 1, 1, 1), "reflect")
        if any(self.beyond):
            padded = functional.pad(padded, self.beyond)
        overlapping = self._tiles(padded.permute(0, 2, 3, 1).contiguous())
        tiles = self._scratch("tiles", *overlapping.shape).copy_(overlapping)
        at_points = self._transformed("inputs", self.to_input, tiles.view(len(self.to_input), -1))
        return at_points.view(len(at_points), -1, images.shape[1])

    def of_filters(self, weight: Tensor) -> Tensor:
        """(O, C, 3, 3) to (p, O, C)."""
        filters = weight.permute(2, 3, 0, 1).reshape(9, -1)
        return self._transformed("filters", self.to_filter, filters).view(-1, *weight.shape[:2])

    def to_output_of(self, products: Tensor, outputs: Tensor) -> None:
        """(p, T, O) into (B, H, W, O)."""
        tiles = self._transformed("tiles", self.to_output, products.flatten(1))
        tiles = tiles.view(*self.tile, len(outputs), self.rows, self.columns, -1).permute(2, 3, 0, 4, 1, 5)
        if any(self.beyond):
            whole = tiles.reshape(len(outputs), self.rows * self.down, self.columns * self.right, -1)
            outputs.copy_(whole[:, : self.height, : self.width])
        else:
            outputs.view(tiles.shape).copy_(tiles)

    def of_output_gradient(self, gradient: Tensor) -> Tensor:
        """(B, O, H, W) to (p, T, O)."""
        whole = functional.pad(gradient, self.beyond) if any(self.beyond) else gradient
        tiles = whole.permute(0, 2, 3, 1).reshape(len(gradient), self.rows, self.down, self.columns, self.right, -1)
        tiles = tiles.permute(2, 4, 0, 1, 3, 5).reshape(self.down * self.right, -1)
        return self._transformed("gradients", self.to_output.T, tiles).view(len(self.to_input), -1, gradient.shape[1])

    def to_input_gradient(self, at_points: Tensor, gradient: Tensor) -> None:
        """(p, T, C) into (B, C, H, W): every pixel is in up to four tiles, and near the borders in the mirror too."""
        images, channels = gradient.shape[:2]
        tiles = self._transformed("tiles", self.to_input.T, at_points.flatten(1))
        tiles = tiles.view(self.down + 2, self.right + 2, images, self.rows, self.columns, -1).permute(2, 3, 0, 4, 1, 5)
        cells = tiles.new_zeros(images, self.rows + 1, self.down, self.columns + 1, self.right, channels)
        cells[:, :-1, :, :-1] = tiles[:, :, : self.down, :, : self.right]  # the tile's own; then, what it shares
        cells[:, :-1, :, 1:, :2] += tiles[:, :, : self.down, :, self.right :]
        cells[:, 1:, :2, :-1] += tiles[:, :, self.down :, :, : self.right]
        cells[:, 1:, :2, 1:, :2] += tiles[:, :, self.down :, :, self.right :]
        padded = cells.view(images, (self.rows + 1) * self.down, (self.columns + 1) * self.right, -1)
        padded = padded[:, : self.height + 2, : self.width + 2]
        padded[:, 2] += padded[:, 0]
        padded[:, -3] += padded[:, -1]
        padded[:, :, 2] += padded[:, :, 0]
        padded[:, :, -3] += padded[:, :, -1]
        gradient.copy_(padded[:, 1:-1, 1:-1].permute(0, 3, 1, 2))

    def to_filter_gradient(self, products: Tensor) -> Tensor:
        """(p, O, C) to (9, OC)."""
        return self.to_filter.T @ products.flatten(1)

    def multiplied(self, left: Tensor, right: Tensor) -> Tensor:
        """Two batches of matrices, one for each point."""
        return torch.bmm(left, right, out=self._scratch("products", len(left), left.shape[1], right.shape[2]))

    def _transformed(self, role: str, matrix: Tensor, values: Tensor) -> Tensor:
        return torch.mm(matrix, values, out=self._scratch(role, len(matrix), values.shape[1]))

    def _scratch(self, role: str, *size: int) -> Tensor:
        return SCRATCH.tensor(role, size, self.to_input.dtype)

    def _tiles(self, padded: Tensor) -> Tensor:
        """A view of (B, H', W', C), contiguous, as overlapping tiles: (down + 2, right + 2, B, rows, columns, C)."""
        image, row, column, _ = padded.stride()
        size = self.down + 2, self.right + 2, len(padded), self.rows, self.columns, padded.shape[3]
        return padded.as_strided(size, (row, column, image, row * self.down, column * self.right, 1))
