"""The network's part of a translation: frames of the host go in, translations of each frame's own size come out."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.data.images import to_batch
from pipelines.errors import UserError

if TYPE_CHECKING:  # a plan can be made and shown without waiting for torch
    from torch import Tensor


@dataclass(frozen=True)
class Network:
    """A translator with the size and the batches that it is given. What of them is unusual is part of a job's identity.

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

    translate: "Callable[[Tensor], Tensor]"
    batch_size: int = 1
    height: int | None = None
    size: tuple[int, int] | None = None
    device: str = "cpu"

    @functools.cached_property
    def clock(self) -> NetworkClock:
        """How much of the time it is at work."""
        return NetworkClock(self.device)

    def __call__(self, batch: Sequence[np.ndarray], source: Path) -> "Tensor":
        """The translations of a batch, (B, 3, H, W) in [0, 1].

        Args:
            batch: Of one shape: uint8 (H, W, 3) RGB images, or label maps (H, W).
            source: What a message names when memory runs out.
        """
        import torch

        own = (batch[0].shape[0], batch[0].shape[1])
        try:
            with torch.inference_mode(), self.clock.working():
                filled = [*batch, *[batch[-1]] * (self.batch_size - len(batch))]
                seen = resized(to_batch(filled, self.device), self.seen_size(*own))
                translation = self.translate(seen)
                expected = (len(filled), 3, *seen.shape[-2:])
                if translation.shape != expected:
                    raise ValueError(
                        f"translate made {tuple(translation.shape)} of {tuple(seen.shape)}; expected {expected}"
                    )
                return resized(translation[: len(batch)], own)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{source}: out of memory for {self.batch_size} frame(s) of {own[1]}x{own[0]} on "
                f"{self.device}; lower the batch size, set a smaller height, or translate in tiles"
            ) from error

    def seen_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) at which a frame of `height` and `width` goes through the network."""
        if self.size is not None:
            return self.size[1], self.size[0]
        if self.height is not None:
            return self.height, max(1, round(width * self.height / height))
        return height, width


def resized(image: "Tensor", size: tuple[int, int]) -> "Tensor":
    """Bring an image to another size.

    Args:
        image: Image (B, 3, H, W): means of areas where it shrinks, bicubic where it grows. Or label map (B, H, W):
            nearest neighbours.
        size: (height, width).
    """
    from torch.nn import functional

    if tuple(image.shape[-2:]) == size:
        return image
    if image.ndim == 3:
        return functional.interpolate(image[:, None].float(), size, mode="nearest-exact")[:, 0].to(image.dtype)
    if size[0] <= image.shape[-2] and size[1] <= image.shape[-1]:
        return functional.interpolate(image, size, mode="area")
    return functional.interpolate(image, size, mode="bicubic").clamp(0, 1)
