"""Trained networks as functions of a frame, for programs of your own: a simulator's client, a camera, a notebook.

The same way that `sim2real translate run` and `sim2real segment predict` go, bit for bit on a CPU of as many threads.
What they print, write and set for the whole process (deterministic algorithms, threads) is left to the caller.
"""

import operator
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import numpy as np
import torch

from pipelines.data.images import to_image
from pipelines.engine.launch import Machine, choose_machine
from pipelines.errors import UserError
from pipelines.experiment.trained import load_ensemble, load_translator
from pipelines.runtimes import acceleration, frame_translation, segmenter_runtime
from pipelines.runtimes.frame_prediction import FramePredictor, Inference, TestTimeAugmentation, open_predictor
from pipelines.runtimes.frame_translation import FrameTranslator, open_translation, refuse_unlearnt
from pipelines.runtimes.overlap import Overlapped, overlapped
from pipelines.runtimes.segmenter_runtime import fastest_runtime
from translate.choices import Direction

Network = TypeVar("Network")


class OnFrames(ABC, Generic[Network]):
    """A network that is called with a frame.

    May be called from several threads: they wait for each other. As a context it closes itself in the end.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self.device = device
        self._network: Network | None = network
        self._at_work = threading.Lock()

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """What the network makes of one frame.

        Args:
            frame: uint8 (H, W, 3) RGB; left alone.

        Raises:
            TypeError: It is no array of numpy, or not uint8.
            ValueError: It is not (H, W, 3), or this is closed.
            NumericalError: The network has diverged.
        """
        return self.batch([frame])[0]

    def batch(self, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the network makes of several frames of one shape; raises as for one."""
        checked = [_checked(frame) for frame in frames]
        if len({frame.shape for frame in checked}) > 1:
            shapes = ", ".join(sorted({str(frame.shape) for frame in checked}))
            raise ValueError(f"the frames of a batch are of several shapes ({shapes}); give each shape by itself")
        with self._at_work:
            if self._network is None:
                raise ValueError("this network is closed; open it again")
            return self._answers(self._network, checked) if checked else []

    def overlapped(
        self, frames: Iterable[np.ndarray], ahead: int = 2, drop: bool = False
    ) -> AbstractContextManager[Overlapped[np.ndarray]]:
        """Frames through the network while the next are read and the last results are used, a thread each.

        Args:
            frames: uint8 (H, W, 3) RGB, of any sizes; read in a thread of their own.
            ahead: Frames, and results, that wait at most.
            drop: Where a frame comes and no place is free, leave out the oldest that waits; else reading waits.

        Returns:
            A context whose value gives the results in order, and as `dropped` the number of frames left out. An error
            of a frame or of `frames` is raised there.
        """
        return overlapped(frames, self, ahead, drop)

    def close(self) -> None:
        """Give up the network and its memory, when a call that is under way is done. Once more does no harm."""
        with self._at_work:
            self._network = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _answers(self, network: Network, frames: list[np.ndarray]) -> list[np.ndarray]:
        """Of frames that are checked, at least one; by one thread at a time."""


class LiveTranslator(OnFrames[FrameTranslator]):
    """Frame to translated frame of the same size, both uint8 (H, W, 3) RGB; see `open_translator`."""

    def _answers(self, network: FrameTranslator, frames: list[np.ndarray]) -> list[np.ndarray]:
        return [to_image(image) for image in network.translated(frames)]


class LiveSegmenter(OnFrames[FramePredictor]):
    """Frame, uint8 (H, W, 3) RGB, to label map, uint8 (H, W) of Cityscapes train ids; see `open_segmenter`.

    Frames of a batch go through it one after the other.
    """

    def _answers(self, network: FramePredictor, frames: list[np.ndarray]) -> list[np.ndarray]:
        with torch.inference_mode():
            return [network(frame, (frame.shape[0], frame.shape[1])) for frame in frames]


def open_translator(
    path: str | PathLike[str],
    *,
    device: str = "auto",
    size: tuple[int, int] | None = None,
    height: int | None = None,
    direction: Direction = "source_to_target",
    fast: bool = False,
    runtime: acceleration.Runtime = "torch",
    precision: str = "auto",
) -> LiveTranslator:
    """A trained translator of images, ready to be called with frames: what `sim2real translate run` does to each.

    Args:
        path: A run folder or one of its checkpoints.
        device: "auto", "cpu", "cuda", "cuda:1", …
        size: (width, height) to translate at; the result comes back to the frame's own size. None: at its own.
        height: To translate at, the width following, in the place of `size`.
        direction: "source_to_target" or "target_to_source".
        fast: In bf16 but for the first layers, where that pays on this machine.
        runtime: "torch", "compile" (a C++ compiler; a minute for each size of frame) or "openvino" (an extra; CPU).
        precision: "auto" (bf16 on a GPU, fp32 on a CPU), "fp32" or "bf16".

    Raises:
        CheckpointError: Damaged, or not a translator.
        UserError: It translates label maps, or an argument does not fit it or the machine.
    """
    machine = _machine(device, precision)
    with _random_numbers_kept():
        return translator_on(machine, path, size=size, height=height, direction=direction, fast=fast, runtime=runtime)


def translator_on(
    machine: Machine,
    path: str | PathLike[str],
    *,
    size: tuple[int, int] | None,
    height: int | None,
    direction: Direction,
    fast: bool,
    runtime: acceleration.Runtime,
) -> LiveTranslator:
    """As `open_translator`, on a machine that was chosen before."""
    size, height = _whole_sizes(size, height)
    method, found = load_translator(Path(path), machine)
    if method.takes == "label_map":
        raise UserError(f"{found} translates label maps, not frames; use `sim2real translate run --reader …`")
    refuse_unlearnt(method, direction)
    in_bf16 = frame_translation.mode_on(machine, fast) == "fast"
    translate = open_translation(method, machine, direction, in_bf16, runtime)
    return LiveTranslator(FrameTranslator(translate, 1, height, size, str(machine.device)), machine.device)


def open_segmenter(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    device: str = "auto",
    height: int | None = None,
    fast: bool = False,
    runtime: segmenter_runtime.Runtime | None = None,
    precision: str = "auto",
    flip: bool = False,
    weights: Sequence[float] | None = None,
) -> LiveSegmenter:
    """A trained segmenter, ready to be called with frames: what `sim2real segment predict` says of each.

    Args:
        path: A run folder or one of its checkpoints; of several the mean of their probabilities counts.
        device: "auto", "cpu", "cuda", "cuda:1", …
        height: At which the network sees a frame; None: that of its training. Label maps are of the frame's own size.
        fast: In bf16 where that pays on this machine.
        runtime: "torch", "compile", "onnxruntime" or "openvino"; None: the fastest that is present.
        precision: "auto" (bf16 on a GPU, fp32 on a CPU), "fp32" or "bf16".
        flip: Look at the mirror image, too, and average.
        weights: How much each of several checkpoints counts; None: all alike.

    Raises:
        CheckpointError: Damaged, or not a segmenter.
        UserError: An argument does not fit it or the machine.
    """
    machine = _machine(device, precision)
    with _random_numbers_kept():
        return segmenter_on(machine, path, height=height, fast=fast, runtime=runtime, flip=flip, weights=weights)


def segmenter_on(
    machine: Machine,
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    height: int | None,
    fast: bool,
    runtime: segmenter_runtime.Runtime | None,
    flip: bool,
    weights: Sequence[float] | None,
) -> LiveSegmenter:
    """As `open_segmenter`, on a machine that was chosen before."""
    _, height = _whole_sizes(None, height)
    paths = [path] if isinstance(path, (str, PathLike)) else list(path)
    if not paths:
        raise UserError("path is empty; expected a run folder or a checkpoint, or several")
    trained = load_ensemble([Path(one) for one in paths], machine, weights)
    computed_by = fastest_runtime(machine) if runtime is None else runtime
    inference = Inference(computed_by, segmenter_runtime.mode_on(machine, fast), TestTimeAugmentation(flip=flip))
    return LiveSegmenter(open_predictor(trained.network, height or trained.height, machine, inference), machine.device)


def _random_numbers_kept() -> AbstractContextManager[None]:
    """Networks are drawn before they are filled, by seeds of their own: afterwards torch's numbers go on as before."""
    return torch.random.fork_rng(range(torch.cuda.device_count()))


def _machine(device: str, precision: str) -> Machine:
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"precision is {precision!r}; expected 'auto', 'fp32' or 'bf16'")
    machine = choose_machine(device, precision)
    if machine.warning:
        warnings.warn(machine.warning, stacklevel=3)
    return machine


def _whole_sizes(size: Any, height: Any) -> tuple[tuple[int, int] | None, int | None]:
    """Both as Python's own integers, whatever kind of integers they are; UserError where they are no pixels."""
    if size is not None and height is not None:
        raise UserError("size and height: give one of them")
    if size is not None:
        width, rows = _whole("size", size, 2)
        return (width, rows), None
    return None, None if height is None else _whole("height", [height], 1)[0]


def _whole(name: str, given: Any, count: int) -> list[int]:
    try:
        numbers = [operator.index(number) for number in given]
    except TypeError:  # a number where several belong, a float, a word
        numbers = []
    if len(numbers) != count or min(numbers) < 1:
        wanted, got = (": width, height", given) if count == 2 else ("", given[0])
        raise UserError(f"{name} is {got!r}; expected whole pixels, 1 at least{wanted}")
    return numbers


def _checked(frame: np.ndarray) -> np.ndarray:
    """A frame as a network takes it: contiguous, whatever view of it was given."""
    if not isinstance(frame, np.ndarray):
        raise TypeError(f"a frame is a {type(frame).__name__}; expected a numpy array, uint8 (height, width, 3) RGB")
    if frame.dtype != np.uint8:
        raise TypeError(f"a frame is {frame.dtype} {frame.shape}; expected uint8 (height, width, 3), RGB from 0 to 255")
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0:
        raise ValueError(f"a frame is of shape {frame.shape}; expected (height, width, 3), RGB" + _hint(frame))
    return np.ascontiguousarray(frame)


def _hint(frame: np.ndarray) -> str:
    if frame.ndim == 3 and frame.shape[2] == 4:
        return "; drop the fourth channel: frame[..., :3], or frame[..., 2::-1] of BGRA"
    if frame.ndim == 4:
        return "; give several frames to .batch"
    return ""
