"""A 3x3 convolution with a third of the multiplications: Winograd's minimal filtering.

Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016, arXiv:1509.09308). On a CPU 3x3
convolutions of hundreds of channels run at the peak of the arithmetic units, so that only less arithmetic is faster.
Where we leave the paper: interpolation points 0, ±3/4, ±3/2 instead of 0, ±1, ±2, which halve the rounding error.
"""

import functools
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor, nn
from torch.nn import functional

Tile = tuple[int, int]
"""Outputs down and right."""

POINTS: dict[int, tuple[Fraction, ...]] = {
    2: (Fraction(0), Fraction(1), Fraction(-1)),
    4: (Fraction(0), Fraction(3, 4), Fraction(-3, 4), Fraction(3, 2), Fraction(-3, 2)),
}
"""Outputs of a tile along one side -> points at which its polynomials are evaluated, besides infinity."""
STRIP = 256
"""Tiles transformed together: at 256 channels 9 MB of transformed features, which stay in the processor's cache."""


def transforms(outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices A (m, n), G (n, 3) and B (n, n), double, with m outputs and n = m + 2 inputs, such that the filter g
    over the inputs d gives A [(G g) * (B d)].

    Source: the Toom-Cook construction in exact fractions; Lavin and Gray, sec. 4.1, for these sizes.
    """
    points = POINTS[outputs]
    evaluate_output = [[p**i for p in points] + [Fraction(int(i == outputs - 1))] for i in range(outputs)]
    evaluate_filter, evaluate_input = [], []
    for i, point in enumerate(points):
        others = [q for j, q in enumerate(points) if j != i]
        scale = Fraction(1)
        for q in others:
            scale *= point - q
        evaluate_filter.append([point**k / scale for k in range(3)])
        evaluate_input.append([*_from_roots(others), Fraction(0)])
    evaluate_filter.append([Fraction(0), Fraction(0), Fraction(1)])
    evaluate_input.append(_from_roots(points))
    return _matrix(evaluate_output), _matrix(evaluate_filter), _matrix(evaluate_input)


@functools.cache
def point_matrices(tile: Tile, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """To the points of a tile of (m, n) outputs, p = (m + 2)(n + 2) of them, and from there.

    Returns:
        Inputs to points (p, p), filters to points (p, 9), and points to outputs (mn, p); rows and columns count down
        first, then right.
    """
    (down_a, down_g, down_b), (right_a, right_g, right_b) = (transforms(outputs) for outputs in tile)
    pairs = (down_b, right_b), (down_g, right_g), (down_a, right_a)
    to_input, to_filter, to_output = (torch.kron(down, right).to(dtype) for down, right in pairs)
    return to_input, to_filter, to_output


class WinogradConv2d(nn.Module):
    """A 3x3 convolution of stride 1 that mirrors or zero-pads by one pixel: same size out. For inference.

    Args:
        convolution: 3x3, stride 1, no groups and no dilation; its own padding is not looked at.
        padding_mode: "reflect" or "constant", by one pixel.
        tile: Outputs per tile, (down, right), of 2 or 4. (4, 4) takes a quarter of the multiplications, (2, 4) a third.
        dtype: Of the products; float32, or bfloat16 where its error can be borne. Sums are float32 either way.
        bias: False leaves the bias out, which the mean subtracted by a following normalisation would take away.
    """

    reach = 1

    def __init__(
        self,
        convolution: nn.Conv2d,
        padding_mode: str,
        tile: Tile = (4, 4),
        dtype: torch.dtype = torch.float32,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.padding_mode = padding_mode
        self.tile = tile
        weight = convolution.weight.detach().double()
        to_input, to_filter, to_output = (matrix.to(weight.device) for matrix in point_matrices(tile, weight.dtype))
        filters = (to_filter @ weight.permute(2, 3, 1, 0).flatten(0, 1).flatten(1)).view(-1, *weight.shape[1::-1])
        for name, value in (("filters", filters), ("to_input", to_input), ("to_output", to_output)):
            self.register_buffer(name, value.to(dtype).contiguous())  # (p, C, O), (p, p) and (mn, p)
        self.bias = convolution.bias if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, H, W), channels-last, in the dtype of the products."""
        (down, right), (height, width) = self.tile, features.shape[-2:]
        batch, channels, filters = features.shape[0], features.shape[1], self.filters.shape[2]
        padded = functional.pad(features.to(self.filters.dtype), (1, 1, 1, 1), self.padding_mode)
        if height % down or width % right:
            padded = functional.pad(padded, (0, -width % right, 0, -height % down))
        padded = padded.contiguous(memory_format=torch.channels_last)
        rows, columns = -(-height // down), -(-width // right)
        result = padded.new_empty(batch, rows * down, columns * right, filters)
        step = max(1, STRIP // columns)
        _, _, row_stride, column_stride = padded.stride()
        for image in range(batch):
            for row in range(0, rows, step):
                count = min(step, rows - row)
                tiles = padded[image:, :, row * down :].as_strided(
                    (down + 2, right + 2, count, columns, channels),
                    (row_stride, column_stride, row_stride * down, column_stride * right, 1),
                )
                outputs = self._filtered(tiles.reshape(len(self.to_input), -1), count * columns)
                outputs = outputs.view(down, right, count, columns, filters).permute(2, 0, 3, 1, 4)
                place = result[image, row * down : (row + count) * down]
                place.view(count, down, columns, right, filters).copy_(outputs)
        if self.bias is not None:
            result += self.bias.to(result.dtype)
        return result[:, :height, :width].permute(0, 3, 1, 2)

    def _filtered(self, inputs: Tensor, tiles: int) -> Tensor:
        """Inputs of tiles, (36, tiles * C), to their outputs, (16, tiles * O)."""
        transformed = (self.to_input @ inputs).view(len(self.to_input), tiles, -1)
        return self.to_output @ torch.bmm(transformed, self.filters).flatten(1)


def _from_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, constant first, of the polynomial with these roots and leading coefficient 1."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return coefficients


def _matrix(rows: Sequence[Sequence[Fraction]]) -> Tensor:
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)
