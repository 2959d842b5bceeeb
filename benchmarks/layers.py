"""What does each measure of `pipelines/runtimes/acceleration.py` bring by itself, and how far does it deviate?

    taskset -c 1 .venv/bin/python benchmarks/layers.py [--parts norm learning narrow winograd network careful allocator]

CPU time on one thread, the fastest of some rounds; a ResNet-9 of 64 channels with fresh weights, unless said otherwise.
Deviations of layers are the root of the mean square over that of the result, both against double precision; those of
networks are in levels of 255 against the plain network in float32.
"""

import argparse
import copy
import importlib.util
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Before this folder, in which `translate` would be a file.
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engine.launch import choose_machine, describe_machine
from pipelines.runtimes.acceleration import CastingConv2d, NarrowConv2d, QuickInstanceNorm2d, accelerated
from pipelines.runtimes.acceleration import keep_freed_memory as keep
from translate.fast.doubling import NarrowConvTranspose2d
from translate.fast.pointwise import PointwiseStrips
from translate.fast.to_image import ToImageConv2d
from translate.fast.winograd import WinogradConv2d
from translate.networks import GENERATORS
from translate.networks.generators.residual_block import MirroredConv2d
from translate.networks.normalisation import InstanceNorm2d

LEVEL = 2 / 255
SIZE = (128, 256)
LARGE = (512, 1024)
"""(height, width) of the frames: for the network, and for the allocator."""


def generator(seed: int = 0) -> nn.Module:
    """Fresh weights, a function of the seed."""
    torch.manual_seed(seed)
    network = GENERATORS["resnet9"](base_channels=64).eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)


def picture(size: tuple[int, int]) -> Tensor:
    """A smooth image with some noise, (1, 3, H, W) in [-1, 1]."""
    torch.manual_seed(1)
    smooth = functional.interpolate(torch.rand(1, 3, 8, 16), size, mode="bicubic")
    image = (smooth + 0.02 * torch.randn(1, 3, *size)).clamp(0, 1) * 2 - 1
    return image.contiguous(memory_format=torch.channels_last)


def features(channels: int, height: int, width: int) -> Tensor:
    """Channels-last features such as a normalisation leaves."""
    torch.manual_seed(2)
    return torch.randn(1, channels, height, width).contiguous(memory_format=torch.channels_last)


def cpu_seconds(compute: Callable[[], object], rounds: int) -> float:
    """The fastest of `rounds` calls; one more warms up."""
    compute()
    spent = []
    for _ in range(rounds):
        start = time.process_time()
        compute()
        spent.append(time.process_time() - start)
    return min(spent)


def relative(result: Tensor, expected: Tensor) -> float:
    """Root mean square of the difference over that of the expected result."""
    return ((result.double() - expected).square().mean() / expected.square().mean()).sqrt().item()


def show_layers(title: str, layers: dict[str, nn.Module], exact: nn.Module, given: Tensor, rounds: int) -> None:
    """A table of layers that stand for `exact`, the first being what it is compared with."""
    expected = copy.deepcopy(exact).double()(given.double())
    print(f"\n{title}\n{'':<34} {'CPU ms':>8} {'faster':>7} {'deviation':>10}")
    first = None
    for name, layer in layers.items():
        spent = cpu_seconds(lambda layer=layer: layer(given), rounds)
        first = first or spent
        print(f"{name:<34} {spent * 1e3:8.2f} {first / spent:6.1f}x {relative(layer(given), expected):10.1e}")


def measure_norm(rounds: int) -> None:
    """Instance normalisation of channels-last features."""
    for shape in ((256, 32, 64), (64, 128, 256)):
        norm = nn.InstanceNorm2d(shape[0])
        layers = {"nn.InstanceNorm2d": norm, "QuickInstanceNorm2d": QuickInstanceNorm2d(shape[0])}
        show_layers(f"instance norm, {shape}", layers, norm, features(*shape), rounds)


@torch.inference_mode(False)
def measure_learning(rounds: int) -> None:
    """Layers that a CPU trains by algorithms of our own: forward, and forward and back, against torch's."""
    mirrored = MirroredConv2d(256, 256, bias=True), nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect")
    compared = {
        "3x3, 256 channels, 64x64": (*mirrored, features(256, 64, 64)),
        "instance norm, 64 channels, 256x256": (InstanceNorm2d(64), nn.InstanceNorm2d(64), features(64, 256, 256)),
        "7x7, 64 to 3 channels, 256x256": (ToImageConv2d(64, 3, 7), nn.Conv2d(64, 3, 7), features(64, 262, 262)),
    }
    print(f"\n{'learning, ms':<58} {'forward':>8} {'both':>8}")
    for what, (ours, torchs, shown) in compared.items():
        for dtype in (torch.float32, torch.bfloat16):
            given = shown.to(dtype).detach().requires_grad_()
            for name, layer in (("ours", ours), ("torch's", torchs)):
                forward, both = learning_times(layer.to(memory_format=torch.channels_last), given, rounds)
                label = f"{what}, {str(dtype).removeprefix('torch.')}, {name}"
                print(f"{label:<58} {forward * 1e3:8.1f} {both * 1e3:8.1f}")


@torch.enable_grad()
def learning_times(layer: nn.Module, given: Tensor, rounds: int) -> tuple[float, float]:
    """CPU seconds of the fastest pass forward, and of the fastest pass forward and back."""
    forward, both = [], []
    for _ in range(rounds + 1):
        given.grad = None
        begun = time.process_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=given.dtype == torch.bfloat16):
            result = layer(given)
        forward.append(time.process_time() - begun)
        result.backward(torch.ones_like(result))
        both.append(time.process_time() - begun)
    return min(forward[1:]), min(both[1:])


def measure_narrow(rounds: int) -> None:
    """The last convolution, of features to an image, padded already; that of a U-Net; and a pyramid's finest mask."""
    convolution = generator_layer((64, 3, 7))
    layers = {
        "nn.Conv2d": convolution,
        "NarrowConv2d": NarrowConv2d(convolution),
        "NarrowConv2d, bf16": NarrowConv2d(copy.deepcopy(convolution)).to(torch.bfloat16),
    }
    show_layers("7x7, 64 to 3 channels, 256x128", layers, convolution, features(64, 134, 262), rounds)
    doubling = nn.ConvTranspose2d(64, 3, kernel_size=4, stride=2, padding=1)
    narrow = NarrowConvTranspose2d(64, 3)
    narrow.load_state_dict(doubling.state_dict())
    layers = {"nn.ConvTranspose2d": doubling, "NarrowConvTranspose2d": narrow}
    show_layers("4x4 of stride 2, transposed, 64 to 3, 512x256", layers, doubling, features(64, 256, 512), rounds)
    mask = nn.Sequential(nn.Conv2d(3, 16, 1), nn.LeakyReLU(), nn.Conv2d(16, 3, 1))
    layers = {"nn.Sequential": mask, "PointwiseStrips": PointwiseStrips(mask)}
    show_layers("1x1, 3 to 16 to 3 channels, 1024x512", layers, mask, features(3, *LARGE), rounds)


def measure_winograd(rounds: int) -> None:
    """The convolution of a residual block, at the size that it has in a frame of 256x128."""
    convolution = generator_layer((256, 256, 3), padding=1, padding_mode="zeros")
    layers: dict[str, nn.Module] = {
        "direct": convolution,
        "direct, bf16": CastingConv2d(copy.deepcopy(convolution), torch.bfloat16),
    }
    for dtype, name in ((torch.float32, ""), (torch.bfloat16, ", bf16")):
        for tile in ((2, 2), (2, 4), (4, 4)):
            layer = WinogradConv2d(convolution, "constant", tile, dtype)
            layers[f"Winograd, tiles of {tile[0]}x{tile[1]}{name}"] = layer
    show_layers("3x3, 256 to 256 channels, 64x32", layers, convolution, features(256, 32, 64), rounds)


def generator_layer(shape: tuple[int, int, int], **options: Any) -> nn.Conv2d:
    """A convolution of (inputs, outputs, side) with weights as a fresh generator's."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(*shape, **options).requires_grad_(False)
    nn.init.normal_(convolution.weight, std=0.02)
    return convolution.to(memory_format=torch.channels_last)


def levels(network: nn.Module, plain: nn.Module, image: Tensor) -> tuple[float, float]:
    """Mean and largest deviation of a network, in levels of 255."""
    difference = (network(image).float() - plain(image)).abs() / LEVEL
    return difference.mean().item(), difference.max().item()


def plain_bf16(network: nn.Module) -> nn.Module:
    """Every weight in bf16 and nothing else thought of."""
    cast = copy.deepcopy(network).to(torch.bfloat16)
    return nn.Sequential(_To(torch.bfloat16), cast)


class _To(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, image: Tensor) -> Tensor:
        return image.to(self.dtype)


def measure_network(rounds: int) -> None:
    """The whole network, and the largest deviation of three fresh ones."""
    ways: dict[str, Callable[[nn.Module], nn.Module]] = {
        "plain": lambda network: network,
        "plain bf16": plain_bf16,
        "exact": lambda network: accelerated(network, "exact"),
        "fast": lambda network: accelerated(network, "fast"),
    }
    if importlib.util.find_spec("openvino") is not None:
        ways["exact, OpenVINO"] = lambda network: accelerated(network, "exact", "openvino")
        ways["fast, OpenVINO"] = lambda network: accelerated(network, "fast", "openvino")
    image, plains = picture(SIZE), [generator(seed) for seed in range(3)]
    print(f"\nResNet-9 of 64 channels, {SIZE[1]}x{SIZE[0]}; deviations of three fresh networks")
    print(f"{'':<18} {'CPU s':>7} {'faster':>7}   {'mean level':<22} largest")
    first = None
    for name, way in ways.items():
        networks = [way(plain) for plain in plains]
        spent = cpu_seconds(lambda networks=networks: networks[0](image), rounds)
        first = first or spent
        found = [levels(network, plain, image) for network, plain in zip(networks, plains, strict=True)]
        means, largest = ", ".join(f"{mean:.5f}" for mean, _ in found), max(most for _, most in found)
        print(f"{name:<18} {spent:7.3f} {first / spent:6.2f}x   {means:<26} {largest:.4f}")


def measure_careful(rounds: int) -> None:
    """What bf16 in one place alone does to the result: why the fast mode begins in float32."""
    plain, image = generator(), picture(SIZE)
    places = [name for name, module in plain.named_modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]
    print(f"\nbf16 in one convolution alone, ResNet-9 at {SIZE[1]}x{SIZE[0]}: mean deviation in levels")
    for number, name in enumerate(places, 1):
        network = copy.deepcopy(plain)
        parent = network.get_submodule(name.rpartition(".")[0])
        setattr(parent, name.rpartition(".")[2], _AndBack(network.get_submodule(name)))
        print(f"{number:>3} of {len(places)} {name:<22} {levels(network, plain, image)[0]:.3f}")


class _AndBack(nn.Module):
    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.cast = CastingConv2d(copy.deepcopy(convolution), torch.bfloat16)

    def forward(self, given: Tensor) -> Tensor:
        return self.cast(given).float()


def measure_allocator(rounds: int) -> None:
    """A frame's time, and the part of it that the system spends on handing out memory."""
    print(f"\na frame of {LARGE[1]}x{LARGE[0]}, with memory given back or kept")
    print(f"{'':<8} {'given back: CPU s':>18} {'of it system':>13} {'kept: CPU s':>12} {'of it system':>13}")
    context = multiprocessing.get_context("spawn")
    for way in ("plain", "exact", "fast"):
        figures = []
        for kept in (False, True):
            with context.Pool(1) as pool:
                figures += pool.apply(allocated_frame, (way, kept, rounds))
        print(f"{way:<8} {figures[0]:18.2f} {figures[1]:13.2f} {figures[2]:12.2f} {figures[3]:13.2f}")


def allocated_frame(way: str, kept: bool, rounds: int) -> tuple[float, float]:
    """CPU seconds of a frame and those of them spent in the system, in a process of its own."""
    torch.set_num_threads(1)
    if kept:
        keep()
    network = generator() if way == "plain" else accelerated(generator(), way)
    image, spent = picture(LARGE), []
    with torch.inference_mode():
        for _ in range(rounds + 1):
            before = resource.getrusage(resource.RUSAGE_SELF)
            network(image)
            after = resource.getrusage(resource.RUSAGE_SELF)
            system = after.ru_stime - before.ru_stime
            spent.append((after.ru_utime - before.ru_utime + system, system))
    return min(spent[1:])


PARTS = {
    "norm": (measure_norm, 20),
    "learning": (measure_learning, 5),
    "narrow": (measure_narrow, 10),
    "winograd": (measure_winograd, 10),
    "network": (measure_network, 3),
    "careful": (measure_careful, 1),
    "allocator": (measure_allocator, 1),
}
"""What is measured, and the rounds of each."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{describe_machine(choose_machine('cpu'))}, torch {torch.__version__}")
    with torch.inference_mode():
        for part in arguments.parts:
            measure, rounds = PARTS[part]
            measure(rounds)


if __name__ == "__main__":
    main()
