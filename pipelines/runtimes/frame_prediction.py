"""The way from a frame to a label map: one for evaluation, experts, submissions, prediction and every figure.

A frame, uint8 RGB of any size, is brought to the height of the network's training; what the network answers is brought
to the size of the labels, never the labels to the network's. By default the network computes as it was evaluated in
training, bit for bit; a runtime (`pipelines.runtimes.segmenter_runtime`) computes the same but for rounding, sooner.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.data.images import to_batch
from pipelines.data.sampling.augment import fit_height
from pipelines.engine.launch import Machine
from pipelines.errors import UserError
from pipelines.runtimes.divergence import refuse_diverged
from pipelines.runtimes.segmenter_runtime import Mode, Runtime, SegmenterRuntime, open_runtime
from segment.inference import Ensemble, Flipped, MultiScale, Windowed, predict_logits
from segment.networks.segmenter import Segmenter

Predictor = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""(image uint8 (H, W, 3), (height, width) of the label map) to a uint8 label map."""


def as_seen(frame: np.ndarray, height: int, device: torch.device | str) -> Tensor:
    """What a network is given of a frame: (1, 3, height, w) float32 in [0, 1], channels-last, on the device.

    Args:
        frame: uint8 (H, W, 3) RGB.
        height: Of the network's training; the width follows the aspect and is 1 at least.
        device: Where it is computed.
    """
    batch = to_batch([fit_height(frame, height, enlarge=True, least_width=1)], str(device))
    return batch.contiguous(memory_format=torch.channels_last)


class Segments(Protocol):
    """What answers for an image in [0, 1], whatever computes it."""

    def logits(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """(1, 3, h, w) to logits (1, K, height, width) at `size`."""
        ...

    def label_map(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """(1, 3, h, w) to uint8 train ids (1, height, width) at `size`."""
        ...


@dataclass(frozen=True)
class ExactNetwork:
    """A network as it is: in the machine's precision, by torch, without anything folded into anything."""

    network: nn.Module
    machine: Machine

    def logits(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """See `Segments`."""
        with self.machine.autocast():
            return predict_logits(self.network, image, size)

    def label_map(self, image: Tensor, size: tuple[int, int]) -> Tensor:
        """See `Segments`; NumericalError where the network has diverged."""
        return likeliest_classes(self.logits(image, size))


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Several looks at a frame, whose probabilities are averaged; a single one by default.

    Args:
        flip: At the mirror image, too.
        scales: At the frame in these sizes, as factors of the network's height.
        window: Through windows of (height, width) in pixels of the frame as the network is given it.
        stride: (down, right) between windows; None: two thirds of them.
    """

    __test__ = False  # pytest, by its name, would take it for a test

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    def of(self, network: nn.Module) -> nn.Module:
        """The network that looks so. Each window is mirrored, and each size of the frame is looked at in windows.

        Raises:
            UserError: Scales or windows are impossible.
        """
        try:
            if self.flip:
                network = Flipped(network)
            if self.window is not None:
                network = Windowed(network, self.window, self.steps)
            return network if self.scales == (1.0,) else MultiScale(network, self.scales)
        except ValueError as error:
            raise UserError(f"--scales, --window or --stride: {error}") from error

    @property
    def steps(self) -> tuple[int, int]:
        """The stride that is used."""
        height, width = self.window or (1, 1)
        return self.stride or (max(1, height * 2 // 3), max(1, width * 2 // 3))

    @property
    def name(self) -> str:
        """For people and folders: "flip_scales-0.75-1"; empty for a single look."""
        parts = ["flip"] if self.flip else []
        if self.scales != (1.0,):
            parts.append("scales-" + "-".join(f"{scale:g}" for scale in self.scales))
        if self.window is not None:
            parts.append(f"window-{self.window[1]}x{self.window[0]}-stride-{self.steps[1]}x{self.steps[0]}")
        return "_".join(parts)


@dataclass(frozen=True)
class Inference:
    """How a network is used on frames: what computes, and how often it looks."""

    runtime: Runtime | None = None
    """None: exactly as in training's own evaluation."""
    mode: Mode = "exact"
    augmentation: TestTimeAugmentation = field(default_factory=TestTimeAugmentation)

    @property
    def name(self) -> str:
        """For people and folders; empty for the exact single look that reports use."""
        computed = [] if self.runtime is None else [self.runtime if self.mode == "exact" else f"{self.runtime}-fast"]
        return "_".join(filter(None, [self.augmentation.name, *computed]))

    def identity(self) -> dict[str, str]:
        """What it adds to the identity of an evaluation: nothing by default, so that former ones stay good."""
        looks = {"looks": self.augmentation.name} if self.augmentation.name else {}
        return looks if self.runtime is None else looks | {"runtime": self.runtime, "mode": self.mode}


EXACT = Inference()


@dataclass(frozen=True)
class FramePredictor:
    """A segmenter that answers for frames of any size; `before` changes a frame first, by a translation for one."""

    segmenter: Segments
    height: int
    device: torch.device
    before: Callable[[np.ndarray], np.ndarray] = field(default=lambda frame: frame)

    def __call__(self, frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A `Predictor`. NumericalError where the network has diverged."""
        return self.label_map(frame, size).cpu().numpy()

    def label_map(self, frame: np.ndarray, size: tuple[int, int]) -> Tensor:
        """The label map of a frame at `size`, uint8 (height, width), still on the device."""
        return self.segmenter.label_map(self._seen(frame), size)[0]

    def logits(self, frame: np.ndarray, size: tuple[int, int]) -> Tensor:
        """Logits (1, K, height, width) of the size of the label map, on the machine's device."""
        return self.segmenter.logits(self._seen(frame), size)

    def _seen(self, frame: np.ndarray) -> Tensor:
        return as_seen(self.before(frame), self.height, self.device)


class _AsNetwork(nn.Module):
    """A runtime in the place of a network, to be looked through several times."""

    def __init__(self, runtime: SegmenterRuntime) -> None:
        super().__init__()
        self.runtime = runtime
        self.eval()

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to logits of the same size."""
        return self.runtime.logits(image, (image.shape[-2], image.shape[-1]))


def open_predictor(network: nn.Module, height: int, machine: Machine, inference: Inference = EXACT) -> FramePredictor:
    """A segmenter in evaluation mode, or an ensemble of some, ready for frames.

    Raises:
        UserError: The runtime is not there or not for the device, or the augmentation is impossible.
    """
    augmentation = inference.augmentation
    segmenter: Segments
    if inference.runtime is None:
        segmenter = ExactNetwork(augmentation.of(network), machine)
    elif isinstance(network, Segmenter) and not augmentation.name:
        segmenter = open_runtime(network, inference.runtime, inference.mode, machine)
    else:
        computed = _by_runtime(network, inference.runtime, inference.mode, machine)
        segmenter = ExactNetwork(augmentation.of(computed), Machine(machine.device, "fp32"))
    return FramePredictor(segmenter, height, machine.device)


def _by_runtime(network: nn.Module, runtime: Runtime, mode: Mode, machine: Machine) -> nn.Module:
    """A network whose every segmenter is computed by a runtime; what is averaged is averaged by torch."""
    if isinstance(network, Ensemble):
        return Ensemble([_by_runtime(one, runtime, mode, machine) for one in network.networks], network.weights)
    if isinstance(network, MultiScale):
        return MultiScale(_by_runtime(network.network, runtime, mode, machine), network.scales)
    return _AsNetwork(open_runtime(network, runtime, mode, machine))


def likeliest_classes(logits: Tensor) -> Tensor:
    """Logits (1, K, H, W) to a label map, uint8 (1, H, W), on the same device.

    Raises:
        NumericalError: They are no numbers; a class would be found for every pixel all the same.
    """
    highest = logits.max(dim=1)
    refuse_diverged(highest.values, "logits")
    return highest.indices.to(torch.uint8)
