"""Evaluation by the field's protocol: one confusion matrix over the whole set, counted at the labels' full size.

The network sees each frame at its training height; its logits are brought up to the label map, never the label map
down. Predictions are kept as label maps, so that pictures and other measures need no second pass.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.data.augment import fit_height
from pipelines.data.cityscapes import TEST_SPLIT
from pipelines.data.files import remove_abandoned_parts, sha256_of, storage_errors, write_atomically
from pipelines.data.frames import FrameSet
from pipelines.data.images import encode_png, to_tensor
from pipelines.data.instances import instance_file
from pipelines.engine.checkpoints import checkpoint_hash, resolve_checkpoint
from pipelines.engine.launch import Machine
from pipelines.engine.runs import read_json
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.trained import load_segmenter
from pipelines.experiment.workspace import Workspace
from pipelines.progress import Progress
from pipelines.runtimes.divergence import refuse_diverged
from pipelines.stages.evaluation.evaluation_counts import Measures, count_frame, gathered, scoring, what_to_count
from pipelines.stages.evaluation.evaluation_table import format_summary
from pipelines.stages.evaluation.scores import (
    Evaluation,
    prediction_path,
    read_evaluation,
    read_prediction,
    write_evaluation,
)
from segment.inference import Flipped, MultiScale, Windowed, predict_logits
from segment.metrics.calibration import reliability

__all__ = [
    "Evaluation",
    "Looks",
    "Measures",
    "Predictor",
    "evaluate",
    "evaluate_checkpoint",
    "format_summary",
    "prediction_path",
    "predictor",
    "read_evaluation",
    "read_prediction",
    "scoring",
]  # fmt: skip

Predictor = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""(image uint8 (H, W, 3), (height, width) of the label map) to a uint8 label map."""


@dataclass(frozen=True)
class Looks:
    """How often, and at what of it, the network looks at a frame; what it sees is averaged. Once at all by default.

    Args:
        flip: At the mirror image, too.
        scales: At the frame in these sizes, as factors of the network's height.
        window: Through windows of (height, width) in pixels of the frame as the network is given it.
        stride: (down, right) between windows; None: two thirds of them.
    """

    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None

    def of(self, network: torch.nn.Module) -> torch.nn.Module:
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


ONE_LOOK = Looks()
PLAIN = Measures()


@dataclass(frozen=True)
class NetworkPredictor:
    """A network that predicts one frame at its training height; `before` translates the frame first."""

    network: torch.nn.Module
    height: int
    machine: Machine
    before: Callable[[np.ndarray], np.ndarray] = field(default=lambda image: image)

    def __call__(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A `Predictor`."""
        return likeliest_classes(self.logits(image, size))

    def logits(self, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
        """Logits (1, K, height, width) of the size of the label map, on the machine's device."""
        with self.machine.autocast():
            return predict_logits(self.network, self._tensor(image), size)

    def _tensor(self, image: np.ndarray) -> torch.Tensor:
        tensor = to_tensor(fit_height(self.before(image), self.height, enlarge=True))[None].to(self.machine.device)
        return tensor.contiguous(memory_format=torch.channels_last)


def likeliest_classes(logits: torch.Tensor) -> np.ndarray:
    """Logits (1, K, H, W) on any device to a label map, uint8 (H, W).

    Raises:
        NumericalError: They are no numbers; a class would be found for every pixel all the same.
    """
    highest = logits.max(dim=1)
    refuse_diverged(highest.values, "logits")
    return highest.indices[0].to(torch.uint8).cpu().numpy()


def predictor(network: torch.nn.Module, height: int, machine: Machine, looks: Looks = ONE_LOOK) -> NetworkPredictor:
    """Make a function that predicts one frame at the network's training height."""
    return NetworkPredictor(looks.of(network), height, machine)


def evaluate(
    predict_one: Predictor, sets: Sequence[FrameSet], output: Path, identity: dict[str, Any], measures: Measures = PLAIN
) -> Evaluation:
    """Predict and count every labelled frame of `sets`; keep predictions and counts under `output`.

    Args:
        predict_one: The network, as `predictor` makes it.
        sets: Their encodings tell which classes the labels can express and which they merge.
        output: Folder of the files that `pipelines.stages.evaluation.scores` names.
        identity: What the result depends on; a former evaluation with the same identity is read back instead.
        measures: What to measure beside the confusion matrix; calibration needs a `NetworkPredictor`.

    Raises:
        NoInputsError: No frame has a label map.
        ImageError: A frame, label map or instance map cannot be read.
    """
    places = labelled_places(sets)
    counted = what_to_count(sets, measures)
    if counted.instances:
        identity = identity | {"instances": _instances_hash(places)}
    former = output / "evaluation.json"
    if former.exists():
        figures = read_json(former)
        if figures.get("identity") == identity and measures.within(figures):
            return read_evaluation(output)
    with storage_errors(former):
        former.unlink(missing_ok=True)  # its predictions are overwritten from here on
    remove_abandoned_parts(output)
    names, counts, sure = [], [], None
    with Progress("evaluate", len(places), "frame") as progress:
        for done, (frames, index) in enumerate(places, 1):
            label_map, image = frames.read_label_map(index), frames.read_image(index)
            name = f"{frames.name}/{frames.frames[index].name}"
            if measures.calibration and isinstance(predict_one, NetworkPredictor):
                logits = predict_one.logits(image, label_map.shape)
                here = reliability(logits, torch.from_numpy(label_map)[None].to(logits.device), counted.groups)
                sure = here if sure is None else sure + here
                prediction = likeliest_classes(logits)
            else:
                prediction = predict_one(image, label_map.shape)
            write_atomically(prediction_path(output, name), encode_png(prediction))
            counts.append(count_frame(label_map, prediction, frames.frames[index].label, counted))
            names.append(name)
            progress.reach(done)
    evaluation = gathered(names, counts, counted, sure)
    write_evaluation(evaluation, output, identity)
    return evaluation


def labelled_places(sets: Sequence[FrameSet]) -> list[tuple[FrameSet, int]]:
    """The frames that can be scored.

    Raises:
        NoInputsError: There are none, or no label map shows a class.
        ImageError: A label map cannot be read.
    """
    places = [(frames, i) for frames in sets for i in range(len(frames)) if frames.frames[i].label is not None]
    if not places:
        raise NoInputsError("no validation frame has a label map: " + ", ".join(frames.name for frames in sets))
    if not any(frames.shows_a_class() for frames in sets):
        raise NoInputsError(_nothing_to_score(sets))
    return places


def _nothing_to_score(sets: Sequence[FrameSet]) -> str:
    names = ", ".join(frames.name for frames in sets)
    of_test_split = [note for frames in sets for note in frames.notes if note == TEST_SPLIT]
    why = of_test_split[0] if of_test_split else "look at their settings, and at the files with `sim2real data check`"
    return f"no label map of {names} has a pixel of a class, so there is nothing to score: {why}"


def _instances_hash(places: Sequence[tuple[FrameSet, int]]) -> str:
    digest = hashlib.sha256()
    for frames, index in places:
        label = frames.frames[index].label
        path = None if label is None else instance_file(label)
        digest.update(b"" if path is None else sha256_of(path).encode())
    return digest.hexdigest()


def evaluate_checkpoint(
    workspace: Workspace,
    path: Path,
    output: Path | None,
    machine: Machine,
    looks: Looks = ONE_LOOK,
    measures: Measures = PLAIN,
) -> Evaluation:
    """Evaluate a segmenter of a run folder or checkpoint on the experiment's validation frames.

    Args:
        workspace: The experiment, for its validation frames.
        path: A run folder or a checkpoint of one.
        output: Where to keep the evaluation; None for `evaluation/` in the run folder.
        machine: Where to compute.
        looks: How the network looks at a frame.
        measures: What to measure beside the confusion matrix.

    Returns:
        The counts; a finished evaluation of the same checkpoint and frames is read back.
    """
    network, settings, checkpoint = load_segmenter(path, machine)
    identity = {
        "checkpoint": checkpoint_hash(checkpoint),
        "validation": workspace.sets.fingerprint(workspace.validation),
        "height": settings.height,
        "precision": machine.precision,
    }
    folder = evaluation_place(checkpoint, output, looks)
    ready = predictor(network, settings.height, machine, looks)
    return evaluate(ready, workspace.validation, folder, identity | looking(looks), measures)


def evaluation_place(path: Path, output: Path | None, looks: Looks) -> Path:
    """Folder of the evaluation of a run folder or checkpoint; that of several looks leaves that of one, which reports
    use, alone.
    """
    name = f"evaluation_{looks.name}" if looks.name else "evaluation"
    return output or resolve_checkpoint(path).parent.parent / name


def looking(looks: Looks) -> dict[str, str]:
    """What looks add to the identity of an evaluation: nothing for a single one, so that former ones stay good."""
    return {"looks": looks.name} if looks.name else {}
