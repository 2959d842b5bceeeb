"""The way from a frame to its translation: one for folders, videos, live frames and every figure.

A frame, uint8 RGB of any size, goes through the generator at its own size or at the one asked for, and what comes out
is brought back to the frame's. The generator is the accelerated one of `pipelines.runtimes.acceleration`.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipelines.data.images import to_batch
from pipelines.engine.launch import Machine
from pipelines.errors import UserError
from pipelines.runtimes.acceleration import Runtime, accelerated
from pipelines.runtimes.conversion import refuse_on_other_devices, refuse_unknown_runtime
from translate.choices import Direction
from translate.tiling import translate_tiled
from translate.translator import Translator, translate_padded
from translate.value_range import to_signed, to_unit

Mode = Literal["fast", "exact", "autocast"]
"""In bf16 but for the first layers, in fp32, or in torch's mix of both."""
Translate = Callable[[Tensor], Tensor]
"""Images (B, 3, H, W) in [0, 1], or label maps (B, H, W), to images."""


@dataclass(frozen=True)
class FrameTranslator:
    """A translator with the size and the batches that it is given.

    Attributes:
        translate: Image (B, 3, H, W) in [0, 1] on `device` -> an image of the same size and range. Where a job reads
            label maps it gets int64 (B, H, W).
        batch_size: Neighbours of equal size that go through the network together. A batch that is not full is filled
            with copies of its last frame: all batches are of one shape, and the result does not depend on what else was
            there to do.
        height: Translate at this height, aspect kept, and bring the result back to the frame's own size; None: at its
            own size.
        size: Width and height that frames are resized to, and back from.
        device: Where `translate` wants its image.
    """

    translate: Translate
    batch_size: int = 1
    height: int | None = None
    size: tuple[int, int] | None = None
    device: str = "cpu"

    def translated(self, batch: Sequence[np.ndarray]) -> Tensor:
        """The translations of a batch, (B, 3, H, W) in [0, 1] on the device, without gradient.

        Args:
            batch: Of one shape: uint8 (H, W, 3) RGB images, or label maps (H, W).
        """
        own = (batch[0].shape[0], batch[0].shape[1])
        with torch.inference_mode():
            filled = [*batch, *[batch[-1]] * (self.batch_size - len(batch))]
            seen = resized(to_batch(filled, self.device), self.seen_size(*own))
            translation = self.translate(seen)
            expected = (len(filled), 3, *seen.shape[-2:])
            if translation.shape != expected:
                raise ValueError(
                    f"translate made {tuple(translation.shape)} of {tuple(seen.shape)}; expected {expected}"
                )
            return resized(translation[: len(batch)], own)

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) at which a frame of `height` and `width` goes through the network."""
        if self.size is not None:
            return self.size[1], self.size[0]
        if self.height is not None:
            return self.height, max(1, round(width * self.height / height))
        return height, width


def resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring an image to another size.

    Args:
        image: Image (B, 3, H, W): means of areas along the side that shrinks, bicubic along the one that grows. Or
            label map (B, H, W): nearest neighbours.
        size: (height, width).
    """
    if tuple(image.shape[-2:]) == size:
        return image
    if image.ndim == 3:
        return functional.interpolate(image[:, None].float(), size, mode="nearest-exact")[:, 0].to(image.dtype)
    shrunk = min(size[0], image.shape[-2]), min(size[1], image.shape[-1])
    if shrunk != image.shape[-2:]:
        image = functional.interpolate(image, shrunk, mode="area")
    return image if shrunk == size else functional.interpolate(image, size, mode="bicubic").clamp(0, 1)


def refuse_unlearnt(method: Translator, direction: str) -> None:
    """UserError where the translator does not go this way."""
    if direction not in method.directions:
        learnt = ", ".join(method.directions)
        raise UserError(f"--direction {direction}: this translator does not go that way; it has learnt {learnt}")


def mode_on(machine: Machine, fast: bool) -> Mode:
    """How a translator computes there: "fast", where that was asked for and pays; else as the precision says."""
    if fast and machine.fast_is_bf16:
        return "fast"
    return "exact" if machine.precision == "fp32" else "autocast"


def open_translation(
    method: Translator,
    machine: Machine,
    direction: Direction = "source_to_target",
    fast: bool = False,
    runtime: Runtime = "torch",
    tile: int | None = None,
) -> Translate:
    """A translator of images, ready for inference: images (B, 3, H, W) in [0, 1] to the same.

    Args:
        method: In evaluation mode, on the machine's device.
        machine: Where and in which precision it computes.
        direction: One that it has learnt.
        fast: In bf16 but for the first layers; see `accelerated`. Ask `Machine.fast_is_bf16` first.
        runtime: What computes.
        tile: Side of the tiles in pixels, which then travel to the device one by one; None: a frame goes through whole.

    Raises:
        UserError: The runtime is not there, none for translators, or not for this device or precision.
    """
    refuse_unknown_runtime(runtime, get_args(Runtime))
    refuse_on_other_devices(runtime, machine.device.type)
    generator = method.generator(direction)
    if fast or machine.precision == "fp32":  # else autocast chooses what is computed in bf16
        generator = accelerated(generator, "fast" if fast else "exact", runtime)
    elif runtime != "torch":
        raise UserError(f"--runtime {runtime}: choose --fast or --precision fp32 with it")

    def translate(image: Tensor) -> Tensor:
        """As `ImageTranslator.translate`, by the accelerated generator."""
        image = image.contiguous(memory_format=torch.channels_last)
        with contextlib.nullcontext() if fast else machine.autocast():
            if tile is not None:
                return to_unit(translate_tiled(generator, to_signed(image), tile))
            return translate_padded(generator, image)

    return translate
