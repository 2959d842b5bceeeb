"""Exports in fewer bits than networks are trained in: half precision, and int8 by NNCF.

Neither is worth a file by itself: fewer bits may cost classes and levels, and on a processor without instructions for
them they gain nothing. So both are tried on frames of the experiment, before the file gets its name.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.data.frames import FrameSet
from pipelines.data.images import read_image, to_batch
from pipelines.data.sampling.augment import fit_height
from pipelines.data.selection.evenly import evenly
from pipelines.errors import NoInputsError, UserError
from segment.complexity import time_calls

Precision = Literal["half", "int8"]
Compute = Callable[[np.ndarray], Any]
"""An exported network as its runtime runs it: images (B, 3, H, W) float32 to an array."""

USED, IN_FOUR = 48, 4
"""Frames that are used at most, evenly spread; of every four, three for int8 to learn from and the last to judge on."""
WARMUP, REPEATS = 3, 15
LEAST_GAIN = 0.05
"""Share of float32's time that must be saved; by less, two such timings of one network differ."""


class Agreement(Protocol):
    """How near an export is to the network it was made of; said to people as a string."""

    def check(self, output: Path) -> None:
        """Raise UserError, naming `output`, where it is too far off."""
        ...


@dataclass(frozen=True)
class Reduction:
    """How few bits, and the images that say whether they are enough: (1, 3, H, W) float32 in [0, 1].

    Attributes:
        precision: "half" stores float16, and computes in it where the runtime does; "int8" computes in 8 bits.
        learnt_from: Images that set the ranges of int8.
        judged_on: Others, on which it is compared and timed.
        must_be_faster: Whether it is refused where it is no faster than float32 on this machine.
    """

    precision: Precision
    learnt_from: tuple[np.ndarray, ...]
    judged_on: tuple[np.ndarray, ...]
    must_be_faster: bool = True


@dataclass(frozen=True)
class Reduced:
    """An export in fewer bits: how near it is, and its time beside that of the same export in float32."""

    precision: Precision
    agreement: Agreement
    ms: float
    float32_ms: float
    size: tuple[int, int]
    """(width, height) of the image that was timed."""
    must_be_faster: bool

    def check(self, output: Path) -> None:
        """Refuse what is too far off, and what gains nothing."""
        self.agreement.check(output)
        if self.must_be_faster and not self.ms <= (1 - LEAST_GAIN) * self.float32_ms:
            raise UserError(
                f"{output} is not written: {self.precision} is not faster on this machine ({self._times}). Leave "
                "--precision out; or add --for-elsewhere if another machine is to use it"
            )

    @property
    def _times(self) -> str:
        width, height = self.size
        return f"{self.ms:.1f} ms an image of {width}x{height}, float32 {self.float32_ms:.1f}"

    def __str__(self) -> str:
        return f"{self.agreement}; {self.precision} {self._times}"


def compared(reduction: Reduction, agreement: Agreement, compute: Compute, exact: Compute) -> Reduced:
    """Time both on one image, by CPU time, so that what else the machine does counts little."""
    image = reduction.judged_on[0]
    times = [
        time_calls(lambda call=call: call(image), torch.device("cpu"), WARMUP, REPEATS).cpu_ms
        for call in (compute, exact)
    ]
    size = (image.shape[3], image.shape[2])
    return Reduced(reduction.precision, agreement, *times, size, reduction.must_be_faster)


class InHalf(nn.Module):
    """A network in float16, given and giving float32."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        result = self.network(image.half())
        return result.float() if result.is_floating_point() else result


@dataclass(frozen=True)
class FewerBits:
    """What is wanted of an export in fewer bits.

    Attributes:
        precision: How few.
        sets: Frames such as the network is to see.
        must_be_faster: See `Reduction`.
    """

    precision: Precision
    sets: Sequence[FrameSet]
    must_be_faster: bool = True

    def reduction(self, height: int | None, multiple: int, smallest: int) -> Reduction:
        """The frames as a network sees them.

        Args:
            height: At which it does; None: at their own.
            multiple: Sides are cropped to multiples of it.
            smallest: What sides are at least.

        Raises:
            NoInputsError: There are fewer than four frames.
            UserError: One is too small.
            ImageError: One cannot be read.
        """
        paths = [frame.image for one in self.sets for frame in one.frames]
        if len(paths) < IN_FOUR:
            raise NoInputsError(f"--frames: {len(paths)} frames; {self.precision} needs {IN_FOUR} at least")
        images = [_seen(path, height, multiple, smallest) for path in evenly(paths, USED)]
        learnt = [image for index, image in enumerate(images) if index % IN_FOUR < IN_FOUR - 1]
        judged = images[IN_FOUR - 1 :: IN_FOUR]
        return Reduction(self.precision, tuple(learnt), tuple(judged), self.must_be_faster)


def _seen(path: Path, height: int | None, multiple: int, smallest: int) -> np.ndarray:
    """A frame as a network is given it, without what is left over at the right and bottom."""
    frame = read_image(path)
    if height is not None:
        frame = fit_height(frame, height, enlarge=True, least_width=1)
    rows, columns = (side - side % multiple for side in frame.shape[:2])
    if min(rows, columns) < smallest:
        raise UserError(
            f"--frames: {path} is {frame.shape[1]}x{frame.shape[0]} as the network sees it, which takes sides from "
            f"{smallest} on, in multiples of {multiple}; name larger frames"
        )
    return np.ascontiguousarray(to_batch([frame[:rows, :columns]]).numpy())
