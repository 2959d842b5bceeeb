"""A segmenter ready for inference: one image in, logits or a label map out, by whatever computes fastest.

What makes it fast, each with its figure (DDRNet-23-slim at 1024x512 on an AMD EPYC with bf16 products and without
matrix units, CPU time over two threads, torch 2.15; `benchmarks/segment.py` measures the whole): features in
channels-last order (128 to 109 ms), bf16 (109 to 59 ms), batch normalisation folded into the convolutions, OpenVINO in
place of torch (59 to 43 ms), and label maps that upsample logits only on the borders between classes (55 ms for
upsampling and `argmax`, 18 ms with `max` instead, 4 ms so where a fifth of the image is border).
"""

import importlib.util
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.engine.launch import Machine, prepare_compiler
from pipelines.runtimes.conversion import (
    compiled_for_openvino,
    converted_to_openvino,
    onnx_bytes,
    onnx_session,
    refuse_on_other_devices,
    refuse_unknown_runtime,
    refuse_without_compiler,
)
from pipelines.runtimes.divergence import refuse_diverged
from segment.folding import folded
from segment.label_upsampling import Resizing, labels_of, upsampled_logits
from segment.networks.segmenter import Segmenter

Runtime = Literal["torch", "compile", "onnxruntime", "openvino"]
Mode = Literal["exact", "fast"]

MOST_SIZES = 4
"""Sizes of image for which OpenVINO's plans are kept. Making one takes a second."""
WATCHED = 576
"""Side, at least, of the image that the converter to ONNX watches a network on; see `export_segmenter.WATCHED`."""


class CoarseSegmenter(nn.Module):
    """What a runtime computes: an image in [0, 1] whose sides divide by the stride, to main logits as they come."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = folded(network)
        self.laid_out = False
        scale = 1 / network.image_std.detach()
        self.register_buffer("scale", scale.clone())
        self.register_buffer("shift", -network.image_mean.detach() * scale)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) float32 to (B, K, h, w) float32; the network's own precision in between."""
        normalised = torch.addcmul(self.shift, image, self.scale).to(self.network.image_mean.dtype)
        if self.laid_out:  # last of the three: in this order they take 1.0 ms of a 1024x512 image, in others up to 1.7
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        return self.network.coarse_logits(normalised).main.float()

    def lay_out(self, dtype: torch.dtype) -> "CoarseSegmenter":
        """Bring the network's weights to a precision, and to the order that convolutions are fastest in."""
        self.network.to(dtype=dtype, memory_format=torch.channels_last)
        self.laid_out = True
        return self


class SegmenterRuntime:
    """A segmenter opened for inference. Not for several threads at a time."""

    def __init__(self, coarse_logits: Callable[[Tensor], Tensor], stride: int, align_corners: bool) -> None:
        self._coarse_logits = coarse_logits
        self._stride = stride
        self._align_corners = align_corners

    def logits(self, image: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Logits of an image.

        Args:
            image: (B, 3, H, W) float32 RGB in [0, 1], on the runtime's device.
            size: (height, width) to which they are brought bilinearly; None: the image's own.

        Returns:
            (B, K, height, width) float32.

        Raises:
            NumericalError: The network has diverged.
        """
        own = (image.shape[-2], image.shape[-1])
        logits = upsampled_logits(*self._coarse(image, own))
        if size is None or size == own:
            return logits
        return functional.interpolate(logits, size, mode="bilinear", align_corners=False)

    def label_map(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """The class of every pixel: that with the highest of the logits, bilinearly brought to `size`.

        The label map of `segment.inference.predict`, but for logits that differ by no more than rounding.

        Args:
            image: As in `logits`, at the size at which the network shall see it.
            size: (height, width) of the result.

        Returns:
            (B, height, width) uint8 train ids.
        """
        return labels_of(*self._coarse(image, size))

    @torch.inference_mode()
    def _coarse(self, image: Tensor, size: tuple[int, int]) -> tuple[Tensor, Resizing]:
        height, width = image.shape[-2:]
        bottom, right = -height % self._stride, -width % self._stride
        if bottom or right:
            image = functional.pad(image, (0, right, 0, bottom), mode="replicate")
        resizing = Resizing((height + bottom, width + right), (height, width), tuple(size), self._align_corners)
        coarse = self._coarse_logits(image)
        refuse_diverged(coarse, "logits")  # a sixty-fourth of the pixels
        return coarse, resizing


def open_runtime(network: Segmenter, runtime: Runtime, mode: Mode, machine: Machine) -> SegmenterRuntime:
    """Make a network ready.

    Args:
        network: Left alone. A copy in evaluation mode is used.
        runtime: "torch"; "compile" for torch.compile, which needs a C++ compiler and a minute for each new size of
            image; "onnxruntime" and "openvino", extras, on the CPU alone.
        mode: "exact" computes in float32, "fast" in bf16 (onnxruntime, which has none on the CPU, in float32).
        machine: Its device; its precision is not looked at.

    Raises:
        UserError: The runtime is not there, none of these, or not for the device.
    """
    refuse_unknown_runtime(runtime, get_args(Runtime))
    refuse_on_other_devices(runtime, machine.device.type)
    if runtime == "compile":
        refuse_without_compiler()
    coarse = CoarseSegmenter(network).to(machine.device).eval()
    dtype = torch.float32 if mode == "exact" else torch.bfloat16
    openers: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
        "torch": lambda: coarse.lay_out(dtype),
        "compile": lambda: _compiled(coarse.lay_out(dtype)),
        "onnxruntime": lambda: _InOnnxRuntime(coarse, network.stride),
        "openvino": lambda: OpenVinoPlans(converted_to_openvino(coarse, "logits"), mode),
    }
    return SegmenterRuntime(openers[runtime](), network.stride, network.align_corners)


def _compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    prepare_compiler()
    return torch.compile(network, dynamic=False)


def mode_on(machine: Machine, fast: bool) -> Mode:
    """How a network computes there: "fast" is bf16, where it was asked for and pays on this machine, or
    where the machine's precision names it.
    """
    asked = fast or machine.precision == "bf16"
    return "fast" if asked and machine.fast_is_bf16 else "exact"


def fastest_runtime(machine: Machine) -> Runtime:
    """OpenVINO on a CPU where it is installed, else torch."""
    return "openvino" if machine.device.type == "cpu" and importlib.util.find_spec("openvino") is not None else "torch"


class _InOnnxRuntime:
    def __init__(self, coarse: CoarseSegmenter, stride: int) -> None:
        self.session = onnx_session(onnx_bytes(coarse, "logits", {}, example_image(stride), stride, 2 * stride))

    def __call__(self, image: Tensor) -> Tensor:
        return torch.from_numpy(self.session.run(None, {"image": image.contiguous().numpy()})[0])


class OpenVinoPlans:
    """A model with a plan for each shape of image; the last few are kept.

    One plan for all shapes is slower and rounds otherwise.
    """

    def __init__(self, model: Any, mode: Mode) -> None:
        self.model, self.mode = model, mode
        self.plans: dict[tuple[int, ...], Any] = {}

    def __call__(self, image: Tensor) -> Tensor:
        shape = tuple(image.shape)
        plan = self.plans.pop(shape, None)
        if plan is None:
            model = self.model.clone()
            model.reshape(list(shape))
            plan = compiled_for_openvino(model, self.mode)
        self.plans[shape] = plan  # the latest comes last
        while len(self.plans) > MOST_SIZES:
            self.plans.pop(next(iter(self.plans)))
        return torch.from_numpy(plan([image.contiguous().numpy()])[0].copy())


def example_image(stride: int, batch: int = 2) -> Tensor:
    """An image for converters, smooth as photographs are and the same every time; its sides divide by the stride."""
    side = -(-WATCHED // stride) * stride
    drawn = torch.rand(batch, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return functional.interpolate(drawn, (side, side + stride), mode="bilinear")
