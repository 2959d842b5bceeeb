"""What makes a generator fast at inference: another algorithm, layout, precision, runtime and memory allocator.

Each measure stands by itself and with its figure, from `benchmarks/layers.py`: one core of an AMD EPYC (Zen 4: bf16
products at twice the rate of float32, no matrix unit), CPU time, a ResNet-9 of 64 channels at 256x128, torch 2.15; the
plain network needs 0.59 s there. `benchmarks/translate.py` measures the whole.
"""

import copy
import ctypes
import sys
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engine.launch import prepare_compiler
from pipelines.runtimes.conversion import (
    compiled_for_openvino,
    converted_to_openvino,
    refuse_unknown_runtime,
    refuse_without_compiler,
)
from translate.fast.doubling import NarrowConvTranspose2d
from translate.fast.pointwise import PointwiseStrips, suits
from translate.fast.to_image import by_columns, shifted_sum
from translate.fast.winograd import WinogradConv2d
from translate.networks.normalisation import normalised_by_channel
from translate.tiling import chain

Mode = Literal["exact", "fast"]
Runtime = Literal["torch", "compile", "openvino"]

CAREFUL_SHARE = 0.2
"""First part of the convolutions that stays float32 in the fast mode. A rounding error in them is passed on by all that
follows: in a fresh ResNet-9, bf16 in the first convolution alone moves the result by 0.62 levels of 255, in the last
residual block by 0.05 each."""
WORTHWHILE_CHANNELS = 96
"""Below, transforming the features costs what the products save: on an AMD EPYC with AVX2 alone, one thread, CPU time
at 256x128 pixels, 64 channels take 27.0 ms and 26.1 directly, 96 take 55.6 and 58.9, 128 83.5 and 98.5; at 128x64 6.8
and 7.2, 11.8 and 14.2, 18.3 and 25.1. Wider units only hasten the direct way."""

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h of glibc
KEPT_BYTES = 1 << 28
COMPILED_VARIANTS = 64
"""Compiled variants of one layer's code, for all its widths, precisions and two sizes of image; torch's limit is 8."""


def accelerated(generator: nn.Module, mode: Mode = "exact", runtime: Runtime = "torch") -> nn.Module:
    """A fast copy of a generator for inference, on the device that it is on; the generator itself is left alone.

    Args:
        generator: Signed image to signed image.
        mode: "exact" computes in float32: the same network, summed in another order (mean deviation 0.0003 to
            0.0005 levels of 255 in three fresh networks). "fast" computes in bf16 but for the first convolutions: mean
            deviation 0.9 to 1.1 levels; plain bf16 weights give 1.2 to 1.5.
        runtime: "torch"; "compile" for torch.compile, which needs a C++ compiler and compiles anew for new sizes of
            image; or "openvino", an extra, on the CPU only, which cannot be tiled.

    Returns:
        Image (B, 3, H, W) in [-1, 1], float32, to the same; has `side_multiple` and `smallest_side`, and is a chain
        for `translate_tiled` if the generator is one.

    Raises:
        UserError: The runtime is not there, or none of these.
    """
    refuse_unknown_runtime(runtime, get_args(Runtime))
    if runtime == "openvino":
        return OpenVinoGenerator(generator, mode)
    if runtime == "compile":
        refuse_without_compiler()
    network = Accelerated(generator, mode)
    return _compiled(network) if runtime == "compile" else network


class Accelerated(nn.Module):
    """A generator with its layers exchanged for faster ones."""

    def __init__(self, generator: nn.Module, mode: Mode) -> None:
        super().__init__()
        self.side_multiple = getattr(generator, "side_multiple", 1)
        self.smallest_side = getattr(generator, "smallest_side", 1)
        device = next((parameter.device for parameter in generator.parameters()), torch.device("cpu"))
        copied = copy.deepcopy(generator).eval().requires_grad_(False).to(memory_format=torch.channels_last)
        body = chain(copied)
        self.model = nn.Sequential(_Layout(), *body, _Float())
        if device.type == "cpu":
            _exchange_layers(self.model, mode)
        elif mode == "fast":
            _cast(self.model, _convolutions(self.model))

    def forward(self, image: Tensor) -> Tensor:
        return self.model(image)


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep what is freed, for this process and from now on; True if it did.

    A network allocates and frees the same large tensors for every frame. By default each is mapped from the system anew
    and every page of it faults and is zeroed: of a frame of 1024x512 that is 2.6 s of 12.6 plain, 1.5 of 6.1 in the
    exact mode and 0.5 of 3.7 in the fast one, and next to nothing (0.05 s) after this call. Freed memory is given back
    when the process ends. Call it before the first frame, in a process that translates and nothing else.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, KEPT_BYTES))
    return all([mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings])


class QuickInstanceNorm2d(nn.InstanceNorm2d):
    """Instance normalisation without running statistics, as group normalisation with groups of one channel.

    The same mathematics. torch's own copies channels-last features to another layout and back: 1.9 ms against 0.12 at
    (1, 256, 32, 64), 8.1 against 0.60 at (1, 64, 128, 256).
    """

    def forward(self, features: Tensor) -> Tensor:
        if torch.compiler.is_compiling():  # what the compiler makes of it takes variances from distances to the mean
            return functional.group_norm(features, features.shape[1], self.weight, self.bias, self.eps)
        return normalised_by_channel(features, self.eps, self.weight, self.bias)[0]


class NarrowConv2d(nn.Module):
    """A large convolution to few channels, as one along the columns and a sum of shifted results along the rows.

    A convolution computes 16 channels at least, of which an image needs 3. Giving every column of the kernel its own
    channels fills them: 7x7, 64 to 3 channels at 256x128, 10.5 ms instead of 29.7.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.width = convolution.kernel_size[1]
        self.reach = max(convolution.kernel_size) // 2
        self.columns = nn.Parameter(by_columns(convolution.weight.detach()), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, features: Tensor) -> Tensor:
        result = shifted_sum(functional.conv2d(features.to(self.columns.dtype), self.columns), self.width)
        return result if self.bias is None else result + self.bias.float()[:, None, None]


class CastingConv2d(nn.Module):
    """A convolution that takes its input to the precision of its weights; the sums of residuals stay float32."""

    def __init__(self, convolution: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.convolution = convolution.to(dtype)
        self.dtype = dtype
        self.stride, self.kernel_size = convolution.stride, convolution.kernel_size  # whoever pads for it asks

    def forward(self, features: Tensor) -> Tensor:
        return self.convolution(features.to(self.dtype))


class _Layout(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.contiguous(memory_format=torch.channels_last)


class _Float(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.float()


def _compiled(network: nn.Module) -> nn.Module:
    for module in network.modules():
        # Their strips, unrolled, would compile for minutes; Winograd's would gain nothing.
        if isinstance(module, (WinogradConv2d, PointwiseStrips)):
            module.forward = torch.compiler.disable(module.forward)
    prepare_compiler()
    settings = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, COMPILED_VARIANTS)
    return torch.compile(network)


def _convolutions(network: nn.Module) -> list[nn.Module]:
    """In the order of the network's definition, which is that of its forward pass."""
    return [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d))]


def _exchange_layers(network: nn.Module, mode: Mode) -> None:
    """Exchange layers, in place, for those that are faster on a CPU.

    3x3 convolutions at 256 channels (88% of a ResNet-9's products) take, per call: direct 21.9 ms in float32 and 10.8
    in bf16; Winograd's 11.5 in float32 with tiles of 4x4 and 6.6 in bf16 with 2x4. Tiles of 4x4 in bf16 take 5.8 and
    deviate by 1.6 % instead of 0.9 %.
    """
    convolutions = _convolutions(network)
    careful = set(convolutions[: round(len(convolutions) * CAREFUL_SHARE)]) if mode == "fast" else set(convolutions)
    for parent in list(network.modules()):
        children = list(parent.named_children())
        for index, (name, child) in enumerate(children):
            dtype = torch.float32 if child in careful else torch.bfloat16
            after = children[index + 1][1] if index + 1 < len(children) and isinstance(parent, nn.Sequential) else None
            if isinstance(child, nn.InstanceNorm2d) and not child.track_running_stats:
                setattr(parent, name, _quick(child))
            elif isinstance(child, nn.Sequential) and mode == "exact" and suits(child):
                setattr(parent, name, PointwiseStrips(child))
            elif isinstance(child, nn.ConvTranspose2d) and dtype == torch.float32 and _doubles_to_few(child):
                setattr(parent, name, _doubling(child))
            elif isinstance(child, nn.Conv2d) and (padding := _padding(child)):
                normalised = isinstance(after, nn.InstanceNorm2d)
                tile = (4, 4) if dtype == torch.float32 else (2, 4)
                setattr(parent, name, WinogradConv2d(child, padding, tile, dtype, bias=not normalised))
            elif isinstance(child, nn.Conv2d) and _is_narrow(child):
                narrow = NarrowConv2d(child)
                setattr(parent, name, narrow.to(dtype))
            elif isinstance(child, (nn.Conv2d, nn.ConvTranspose2d)) and mode == "fast":
                setattr(parent, name, CastingConv2d(child, dtype))


def _padding(convolution: nn.Conv2d) -> str | None:
    """How a convolution that Winograd's way suits is padded by one pixel; None for any other convolution."""
    plain = convolution.kernel_size == (3, 3) and convolution.stride == convolution.dilation == (1, 1)
    wide = min(convolution.in_channels, convolution.out_channels) >= WORTHWHILE_CHANNELS
    if not plain or not wide or convolution.groups != 1 or convolution.padding != (1, 1):
        return None
    return {"zeros": "constant", "reflect": "reflect"}.get(convolution.padding_mode)


def _is_narrow(convolution: nn.Conv2d) -> bool:
    whole = convolution.stride == convolution.dilation == (1, 1) and convolution.padding == (0, 0)
    return whole and convolution.groups == 1 and convolution.out_channels <= 4 and min(convolution.kernel_size) >= 5


def _doubles_to_few(convolution: nn.ConvTranspose2d) -> bool:
    shape = convolution.kernel_size, convolution.stride, convolution.padding, convolution.output_padding
    plain = convolution.dilation == (1, 1) and convolution.groups == 1
    return plain and shape == ((4, 4), (2, 2), (1, 1), (0, 0)) and convolution.out_channels <= 4


def _doubling(convolution: nn.ConvTranspose2d) -> NarrowConvTranspose2d:
    narrow = NarrowConvTranspose2d(
        convolution.in_channels, convolution.out_channels, bias=convolution.bias is not None
    ).to(convolution.weight.device)
    narrow.load_state_dict(convolution.state_dict())
    return narrow.requires_grad_(False).eval()


def _quick(norm: nn.InstanceNorm2d) -> QuickInstanceNorm2d:
    quick = QuickInstanceNorm2d(norm.num_features, eps=norm.eps, affine=norm.affine)
    quick.load_state_dict(norm.state_dict())
    return quick.requires_grad_(False).eval()


def _cast(network: nn.Module, convolutions: list[nn.Module]) -> None:
    """bf16 for all convolutions but the first few, on a GPU, whose own library picks the algorithms."""
    careful = convolutions[: round(len(convolutions) * CAREFUL_SHARE)]
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if child in convolutions and child not in careful:
                setattr(parent, name, CastingConv2d(child, torch.bfloat16))


class OpenVinoGenerator(nn.Module):
    """A generator run by OpenVINO on the CPU; any size, compiled once.

    Meant for processors with matrix units (Intel's AMX). Without, on the machine above, it takes 0.48 s in float32 and
    0.24 in bf16, where `Accelerated` takes 0.30 and 0.20.
    """

    def __init__(self, generator: nn.Module, mode: Mode) -> None:
        super().__init__()
        self.side_multiple = getattr(generator, "side_multiple", 1)
        self.smallest_side = getattr(generator, "smallest_side", 1)
        self.model: Callable[[Any], Any] = compiled_for_openvino(
            converted_to_openvino(nn.Sequential(*chain(generator))), mode
        )

    def forward(self, image: Tensor) -> Tensor:
        return torch.from_numpy(self.model([image.float().contiguous().numpy()])[0].copy())
