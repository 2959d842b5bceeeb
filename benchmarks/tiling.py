"""How far are tiles from the untiled translation, ours and those that other ways of normalising them give?

    taskset -c 1 .venv/bin/python benchmarks/tiling.py [--channels 16] [--size 512x256]

A ResNet-9 with fresh weights. The naive ways see 64 pixels and 84 around them, and normalise these tiles by their own
moments; by those of the whole frame shrunk to a tile; or by moments pooled over all tiles of a pass before. Deviations
in levels of 255, times as CPU time on one thread against that of the untiled pass.
"""

import argparse
import copy
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engine.launch import choose_machine, describe_machine
from translate.networks import GENERATORS
from translate.tiling import spans, translate_tiled

LEVEL = 2 / 255
CORE, CONTEXT = 64, 84
OURS = (128, 64)


class Pooling(nn.Module):
    """Instance normalisation by given moments, or by its own while there are none; pools those that it sees."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self.eps = norm.eps
        self.given: tuple[Tensor, Tensor] | None = None
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, features: Tensor) -> Tensor:
        mean, square = (power.mean((2, 3), keepdim=True) for power in (features, features.square()))
        self.seen.append((mean, square))
        mean, square = self.given or (mean, square)
        return (features - mean) * (square - mean.square() + self.eps).rsqrt()

    def take_over(self) -> None:
        """From now on normalise by the moments pooled over what was seen since the last time."""
        self.given = tuple(torch.stack(values).mean(0) for values in zip(*self.seen, strict=True))
        self.seen = []


def pooling(generator: nn.Module) -> tuple[nn.Module, list[Pooling]]:
    """A copy of a generator whose normalisations pool moments."""
    network = copy.deepcopy(generator)
    norms = []
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.InstanceNorm2d):
                norms.append(Pooling(child))
                setattr(parent, name, norms[-1])
    return network, norms


def in_tiles(network: nn.Module, image: Tensor) -> Tensor:
    """Every core of the frame from a tile of its own, with the context that the frame has for it."""
    result = torch.empty_like(image)
    rows, columns = (spans(length, CORE, CONTEXT) for length in image.shape[-2:])
    for row in rows:
        for column in columns:
            tile = network(image[..., row.start : row.stop, column.start : column.stop])
            core = tile[..., row.core_start - row.start : row.core_stop - row.start,
                        column.core_start - column.start : column.core_stop - column.start]  # fmt: skip
            result[..., row.core_start : row.core_stop, column.core_start : column.core_stop] = core
    return result


def by_own_moments(generator: nn.Module, image: Tensor) -> Tensor:
    """Each tile for itself."""
    return in_tiles(generator, image)


def by_shrunk_moments(generator: nn.Module, image: Tensor) -> Tensor:
    """By the moments that the whole frame has when it is shrunk to the width of a tile."""
    network, norms = pooling(generator)
    side = CORE + 2 * CONTEXT
    height = max(64, round(image.shape[-2] * side / image.shape[-1] / 4) * 4)
    network(functional.interpolate(image, (height, side), mode="area"))
    for norm in norms:
        norm.take_over()
    return in_tiles(network, image)


def by_former_moments(generator: nn.Module, image: Tensor) -> Tensor:
    """By the moments of all tiles in a pass before, in which each had its own."""
    network, norms = pooling(generator)
    in_tiles(network, image)
    for norm in norms:
        norm.take_over()
    return in_tiles(network, image)


def steps_across(image: Tensor, tile: int) -> float:
    """Mean step between neighbours on the two sides of a seam, in levels."""
    down = image[..., tile::tile, :] - image[..., tile - 1 : -1 : tile, :]
    right = image[..., tile::tile] - image[..., tile - 1 : -1 : tile]
    return torch.cat([down.flatten(), right.flatten()]).abs().mean().item() / LEVEL


def measured(compute: Callable[[], Tensor], rounds: int) -> tuple[Tensor, float]:
    """A result, and the CPU seconds of the fastest of `rounds` calls after one to warm up."""
    result, spent = compute(), []
    for _ in range(rounds):
        start = time.process_time()
        result = compute()
        spent.append(time.process_time() - start)
    return result, min(spent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--size", default="512x256")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    generator = GENERATORS["resnet9"](base_channels=arguments.channels).eval().requires_grad_(False)
    width, height = map(int, arguments.size.split("x"))
    # Smooth and brighter to the right, as from street to sky: tiles have moments of their own.
    coarse = torch.rand(1, 3, 8, 16) + torch.linspace(0, 2, 16)
    image = functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 2) - 1
    print(f"{describe_machine(choose_machine('cpu'))}, torch {torch.__version__}; "
          f"ResNet-9 of {arguments.channels} channels, {width}x{height}")  # fmt: skip
    ways: dict[str, tuple[int, Callable[[nn.Module, Tensor], Tensor]]] = {
        f"ours, tiles of {tile}": (tile, lambda network, image, tile=tile: translate_tiled(network, image, tile))
        for tile in OURS
    }
    ways["own moments"] = (CORE, by_own_moments)
    ways["moments of the shrunk frame"] = (CORE, by_shrunk_moments)
    ways["moments pooled before"] = (CORE, by_former_moments)
    with torch.inference_mode():
        expected, first = measured(lambda: generator(image), arguments.rounds)
        print(f"\n{'':<30} {'mean':>9} {'largest':>9} {'step at seams':>14} {'untiled':>9} {'time':>6}")
        for name, (tile, way) in ways.items():
            result, spent = measured(lambda way=way: way(generator, image), arguments.rounds)
            difference = (result - expected).abs() / LEVEL
            print(f"{name:<30} {difference.mean():9.5f} {difference.max():9.4f} {steps_across(result, tile):14.5f} "
                  f"{steps_across(expected, tile):9.5f} {spent / first:5.1f}x")  # fmt: skip


if __name__ == "__main__":
    main()
