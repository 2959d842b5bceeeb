"""A frame beyond memory in tiles that do not show, because the result is that of the whole frame.

Instance normalisation ties every pixel to the mean and variance of its frame: tiles normalised by their own moments
differ in colour, and moments guessed from a shrunk frame, or refined pass by pass, stay off (the figures stand at
`translate_tiled`). So the frame goes through the network stage by stage, and within a stage each normalisation's
moments are pooled over all tiles before any later layer runs. Tiles then need no more context than one stage's
convolutions see: a few pixels instead of half of the network's receptive field.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor, nn

from translate.padding import pad_to_multiple


@dataclass(frozen=True)
class Span:
    """One tile along one side of the frame, in its pixels: what is seen, and the part of it that counts.

    The cores of all spans lie side by side and cover the side once.
    """

    start: int
    stop: int
    core_start: int
    core_stop: int

    def seen(self, size: int, length: int) -> slice:
        """The tile's place along `size` positions that stand for the frame's `length` pixels."""
        return slice(self.start * size // length, self.stop * size // length)

    def core(self, size: int) -> slice:
        """The core's place along `size` positions that stand for the tile; at least one position."""
        length = self.stop - self.start
        start = min((self.core_start - self.start) * size // length, size - 1)
        return slice(start, max((self.core_stop - self.start) * size // length, start + 1))


@torch.no_grad()
def translate_tiled(generator: nn.Module, image: Tensor, tile: int, overlap: int | None = None) -> Tensor:
    """Translate a frame in tiles: the untiled result, but for rounding, wherever the context suffices.

    A generator that is a chain (`chain`) is cut where its features are smallest, and only the features at the cuts are
    kept for the whole frame: 16 numbers a pixel, twice, for a ResNet, where the untiled pass holds some 230. Each
    normalisation of a stage costs one more, shortened pass over the stage. Any other generator is one stage, with as
    many passes as it has normalisations.

    Measured by `benchmarks/tiling.py` (fresh ResNet-9 of 16 channels, frame of 512x256, mean deviation from the untiled
    result in levels of 255): 0.00005 here, at 2.7 (tiles of 128) to 4.4 times (of 64) the untiled CPU time, mean step
    across seams equal to that of the untiled result in six digits. Tiles of 64 with 84 pixels around them that are
    normalised by their own moments: 27; by the moments of the frame shrunk to a tile: 9.5; by moments pooled over all
    tiles of a pass before: 18.

    Args:
        generator: Signed image to signed image of the same size; each of its `InstanceNorm2d` layers without running
            statistics is called once. `side_multiple` and `smallest_side` are respected where it has them. Its layers
            are exchanged while this runs and put back; no other thread may use it meanwhile.
        image: (B, 3, H, W) in [-1, 1]. May lie on another device than the generator: tiles travel, the frame and the
            features at the cuts stay.
        tile: Side of a tile's core in pixels, rounded up to the generator's multiple. A frame that fits one tile is
            translated whole.
        overlap: Context around a core, at most, in pixels; where a stage's convolutions see further, tiles are
            feathered over half of it. None: what the convolutions need, without which there is nothing to feather.

    Returns:
        (B, 3, H, W), float32, on the image's device.

    Raises:
        ValueError: `tile` is below 1, or `overlap` below 0.
    """
    if tile < 1 or (overlap or 0) < 0:
        raise ValueError(
            f"tile is {tile} and overlap {overlap}; expected a tile of at least 1 and no negative overlap."
        )
    multiple, smallest = getattr(generator, "side_multiple", 1), getattr(generator, "smallest_side", 1)
    height, width = image.shape[-2:]
    image = pad_to_multiple(image, multiple, smallest)
    size = tuple(image.shape[-2:])
    tile = _rounded_up(max(tile, smallest), multiple)
    with _evaluating(generator):
        if tile >= max(size):
            return _computed(generator, image)[..., :height, :width].float()
        stream, cuts = image, _cuts(generator)
        with _frame_norms(generator):
            for stage in _stages(generator, cuts):
                needed = reach(stage) * (size[0] // stream.shape[-2])
                context = needed if overlap is None else min(needed, overlap)
                margin = _rounded_up(context, multiple)
                rows, columns = (spans(length, tile, margin) for length in size)
                stream = _through(stage, stream, rows, columns, 0 if context == needed else margin // 4)
    return stream[..., :height, :width].float()


def spans(length: int, tile: int, margin: int) -> list[Span]:
    """Cores of `tile` pixels side by side along `length`, the last shorter; each sees `margin` around its own."""
    borders = [*range(0, length, tile), length]
    return [Span(max(0, start - margin), min(length, stop + margin), start, stop) for start, stop in pairwise(borders)]


def chain(generator: nn.Module) -> list[nn.Module]:
    """The modules that `generator` applies one after another: its `model`, where that is all its forward pass does.

    Anything else (skip connections around the bottleneck, branches) is a chain of one, the generator itself.
    """
    model = getattr(generator, "model", None)
    if not isinstance(model, nn.Sequential):
        return [generator]
    try:
        with torch.no_grad(), _evaluating(generator):
            probe = _probe(generator)
            same = torch.equal(generator(probe), model(probe))
    except RuntimeError:  # `model` wants something else than the generator does
        return [generator]
    return list(model) if same else [generator]


def reach(stage: nn.Module) -> int:
    """How far, in positions of its input, a stage's output can depend on: an upper bound from its convolutions.

    A module that stands for a convolution says its own as `reach`; and, where it changes the resolution, as `jump`, how
    many positions of its input lie between two of its output.
    """
    radius, jump = 0.0, 1.0
    for module in stage.modules():
        if isinstance(module, nn.ConvTranspose2d):
            radius += ceil(module.kernel_size[0] / module.stride[0]) * jump
            jump /= module.stride[0]
        elif isinstance(module, nn.Conv2d):
            radius += (max(module.kernel_size) // 2) * module.dilation[0] * jump
            jump *= module.stride[0]
        elif isinstance(module, nn.MaxPool2d):
            radius += (module.kernel_size - 1) * jump
            jump *= module.stride
        elif isinstance(module, nn.Upsample):
            jump /= module.scale_factor
        elif hasattr(module, "reach"):
            radius += module.reach * jump
            jump *= getattr(module, "jump", 1)
    return ceil(radius)


class FrameNorm(nn.Module):
    """Stands in for an instance normalisation: first gathers the moments of a frame part by part, then applies them."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.norm = norm
        self.count = 0
        self.sums: Tensor | None = None
        self.moments: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        if self.moments is None:
            raise _Unmeasured(self, features)
        scale, shift = self.moments
        return torch.addcmul(shift.to(features.dtype), features, scale.to(features.dtype))

    def gather(self, core: Tensor) -> None:
        """Add a part of the frame's features, (B, C, h, w): sums of values and of squares, in double precision."""
        core = core.double().flatten(2)
        sums = torch.stack([core.sum(2), core.square().sum(2)])  # (2, B, C)
        self.sums = sums if self.sums is None else self.sums + sums
        self.count += core.shape[2]

    def hold(self) -> None:
        """Normalise by what was gathered from now on."""
        mean, square = self.sums / self.count
        scale = ((square - mean**2).clamp(min=0) + self.norm.eps).rsqrt()
        shift = -mean * scale
        if self.norm.affine:
            scale, shift = scale * self.norm.weight, shift * self.norm.weight + self.norm.bias
        self.moments = scale.float()[..., None, None], shift.float()[..., None, None]


class _Unmeasured(Exception):
    """Ends a forward pass at the first normalisation whose moments are yet to be gathered."""

    def __init__(self, norm: FrameNorm, features: Tensor) -> None:
        super().__init__()
        self.norm, self.features = norm, features


@contextmanager
def _frame_norms(generator: nn.Module) -> Iterator[None]:
    """Within the block a `FrameNorm` stands in for each instance normalisation; afterwards the very same are back."""
    stand_ins: dict[nn.Module, FrameNorm] = {}
    replaced: list[tuple[nn.Module, str, nn.Module]] = []
    for parent in list(generator.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.InstanceNorm2d) and not child.track_running_stats:
                replaced.append((parent, name, child))
                stand_ins.setdefault(child, FrameNorm(child))
    try:
        for parent, name, child in replaced:
            setattr(parent, name, stand_ins[child])
        yield
    finally:
        for parent, name, child in replaced:
            setattr(parent, name, child)


@contextmanager
def _evaluating(generator: nn.Module) -> Iterator[None]:
    training = [module for module in generator.modules() if module.training]
    generator.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _probe(generator: nn.Module) -> Tensor:
    """A small image that the generator takes."""
    side = _rounded_up(max(getattr(generator, "smallest_side", 1), 32), getattr(generator, "side_multiple", 1))
    return torch.linspace(-1, 1, 3 * side * side).view(1, 3, side, side).to(_device(generator))


def _cuts(generator: nn.Module) -> list[int]:
    """Where the chain is cut: before modules that convolve, wherever the features between are fewest.

    Not behind what pads the frame for a convolution to come: tile by tile every tile would get borders of its own.
    """
    modules = chain(generator)
    features, sizes = _probe(generator), {}
    side = features.shape[-1]
    for index, module in enumerate(modules):
        if index > 0 and reach(module) > 0 and side % features.shape[-1] == 0:
            sizes[index] = features.numel()
        if len(modules) > 1:
            features = module(features)
    return [index for index, size in sizes.items() if size == min(sizes.values())]


def _stages(generator: nn.Module, cuts: Sequence[int]) -> list[nn.Module]:
    if not cuts:
        return [generator]
    model = list(generator.model)
    return [nn.Sequential(*model[i:j]) for i, j in zip([0, *cuts], [*cuts, len(model)], strict=True)]


def _through(stage: nn.Module, stream: Tensor, rows: Sequence[Span], columns: Sequence[Span], feather: int) -> Tensor:
    """The stage's output for the whole frame. Every pass over the tiles but the last gathers one layer's moments."""
    frame = rows[-1].stop, columns[-1].stop
    result: Tensor | None = None
    while True:
        waiting: FrameNorm | None = None
        for row in rows:
            for column in columns:
                part = stream[..., row.seen(stream.shape[-2], frame[0]), column.seen(stream.shape[-1], frame[1])]
                try:
                    part = _computed(stage, part)
                except _Unmeasured as signal:
                    waiting, features = signal.norm, signal.features
                    waiting.gather(features[..., row.core(features.shape[-2]), column.core(features.shape[-1])])
                    continue
                if result is None:
                    scale = part.shape[-2] / (row.stop - row.start)
                    result = part.new_zeros(*part.shape[:2], *(round(length * scale) for length in frame))
                _place(part, result, row, column, feather)
        if waiting is None:
            return result
        waiting.hold()


def _place(part: Tensor, result: Tensor, row: Span, column: Span, feather: int) -> None:
    """Add a tile to the frame, weighted by what it shares with its neighbours; a pixel's weights add up to 1."""
    height, width = result.shape[-2:]
    lengths = [span.stop - span.start for span in (row, column)]
    scale = part.shape[-2] / lengths[0]
    frame = round(height / scale), round(width / scale)
    weights = [
        _weights(span, size, length, feather)
        for span, size, length in zip((row, column), part.shape[-2:], frame, strict=True)
    ]
    place = result[..., row.seen(height, frame[0]), column.seen(width, frame[1])]
    place += part * (weights[0][:, None] * weights[1]).to(part)


def _weights(span: Span, size: int, length: int, feather: int) -> Tensor:
    """A tile's weights along one side: 1 in the core; at inner borders linear over 2 * feather pixels, 0 beyond."""
    position = span.start + (torch.arange(size) + 0.5) * (span.stop - span.start) / size
    weight = torch.ones(size)
    for border, sign in ((span.core_start, 1), (span.core_stop, -1)):
        if 0 < border < length:
            distance = sign * (position - border)
            weight *= (distance > 0).float() if feather == 0 else (distance / (2 * feather) + 0.5).clamp(0, 1)
    return weight


def _computed(network: nn.Module, part: Tensor) -> Tensor:
    """The network's output, computed where its weights are and brought back to where the part came from."""
    return network(part.to(_device(network, part))).to(part.device)


def _device(network: nn.Module, otherwise: Tensor | None = None) -> torch.device:
    fallback = torch.device("cpu") if otherwise is None else otherwise.device
    return next((parameter.device for parameter in network.parameters()), fallback)


def _rounded_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
