"""The network's part of a translation: frames of the host go in, translations of each frame's own size come out."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.batch_inference.flow import refuse_stripe
from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.errors import UserError
from pipelines.runtimes.frame_translation import FrameTranslator


@dataclass(frozen=True)
class Network(FrameTranslator):
    """A translator as a job goes through it. What of it is unusual is part of the job's identity."""

    @functools.cached_property
    def clock(self) -> NetworkClock:
        """How much of the time it is at work."""
        return NetworkClock(self.device)

    def refuse(self, source: Path, size: tuple[int, int]) -> None:
        """ImageError where a frame of a height and width is a stripe that would take all memory."""
        if self.height is not None:
            refuse_stripe(source, size, self.height)

    def __call__(self, batch: Sequence[np.ndarray], source: Path) -> Tensor:
        """The translations of a batch, (B, 3, H, W) in [0, 1].

        Args:
            batch: As of `translated`, at most `batch_size`.
            source: What a message names when memory runs out.
        """
        try:
            with self.clock.working():
                return self.translated(batch)
        except torch.OutOfMemoryError as error:
            height, width = batch[0].shape[:2]
            raise UserError(
                f"{source}: out of memory for {self.batch_size} frame(s) of {width}x{height} on "
                f"{self.device}; lower the batch size, set a smaller height, or translate in tiles"
            ) from error
