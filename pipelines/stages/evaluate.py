"""Evaluation by the field's protocol: one confusion matrix over the whole set, counted at the labels' full size.

The network sees each frame at its training height; its logits are brought up to the label map, never the label map
down. Predictions are kept as label maps, so that pictures and other measures need no second pass.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.data.augment import fit_height
from pipelines.data.files import storage_errors, write_atomically
from pipelines.data.frames import FrameSet
from pipelines.data.images import encode_png, read_raw, to_tensor
from pipelines.engine.checkpoints import checkpoint_hash
from pipelines.engine.launch import Machine
from pipelines.engine.runs import read_json, write_json
from pipelines.errors import NoInputsError, UserError
from pipelines.progress import Progress
from pipelines.stages.train_segmenter import load_segmenter
from pipelines.workspace import Workspace
from segment.classes import CLASS_NAMES, TRAIN_IDS_13, TRAIN_IDS_16
from segment.inference import predict
from segment.metrics import (
    bootstrap_interval,
    confusion_matrix,
    iou_per_class,
    mean_accuracy,
    mean_iou,
    merge_classes,
    pixel_accuracy,
)

Predictor = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""(image uint8 (H, W, 3), (height, width) of the label map) to a uint8 label map."""


@dataclass(frozen=True)
class Evaluation:
    """Counts of one network on one set of frames.

    Args:
        names: Of the frames, in order.
        confusions: (N, 19, 20) int64; rows are true classes, the last column void predictions.
        groups: Train ids that the labels cannot tell apart; scored as one class.
        labelled_ids: Train ids that the labels can express; a prediction of any other is a miss, and no class of its
        own.
    """

    names: list[str]
    confusions: torch.Tensor
    groups: list[list[int]]
    labelled_ids: list[int]

    @property
    def merged(self) -> torch.Tensor:
        """`confusions` with the groups counted as one class each."""
        return merge_classes(self.confusions, self.groups)

    def scored(self, among: Sequence[int]) -> list[int]:
        """The train ids, of those given, that the mean is taken over: one per group, none the labels cannot express."""
        hidden = {train_id for group in self.groups for train_id in group[1:]}
        return [train_id for train_id in among if train_id in self.labelled_ids and train_id not in hidden]

    def iou(self) -> list[float | None]:
        """IoU per train id; None for a class that does not count."""
        values = iou_per_class(self.merged.sum(0)).tolist()
        scored = set(self.scored(range(len(CLASS_NAMES))))
        return [value if i in scored and value == value else None for i, value in enumerate(values)]

    def mean_iou(self, among: Sequence[int] = range(len(CLASS_NAMES))) -> float:
        """Mean IoU over the classes of `among` that count."""
        return float(mean_iou(self.merged.sum(0), self.scored(among)))

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of the mean IoU over images."""
        return bootstrap_interval(self.merged, seed=0, train_ids=self.scored(range(len(CLASS_NAMES))))

    def frame_scores(self) -> list[float]:
        """Mean IoU of each frame over the classes in its labels."""
        return [
            float(mean_iou(confusion, [i for i in self.scored(range(len(CLASS_NAMES))) if confusion[i].sum() > 0]))
            for confusion in self.merged
        ]

    def summary(self) -> dict[str, Any]:
        """All figures, JSON-like; a class or subset that does not count is null."""
        total = self.merged.sum(0)
        low, high = self.interval()
        return {
            "mean_iou": _number(self.mean_iou()),
            "mean_iou_16": _number(self.mean_iou(TRAIN_IDS_16)),
            "mean_iou_13": _number(self.mean_iou(TRAIN_IDS_13)),
            "interval_95": [_number(low), _number(high)],
            "pixel_accuracy": _number(float(pixel_accuracy(total))),
            "mean_accuracy": _number(float(mean_accuracy(total))),
            "iou": dict(zip(CLASS_NAMES, self.iou(), strict=True)),
        }


def _number(value: float) -> float | None:
    return value if value == value else None


def predictor(network: torch.nn.Module, height: int, machine: Machine) -> Predictor:
    """Make a function that predicts one frame at the network's training height."""

    def run(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        tensor = to_tensor(fit_height(image, height, enlarge=True))[None].to(machine.device)
        tensor = tensor.contiguous(memory_format=torch.channels_last)
        with machine.autocast():
            return predict(network, tensor, size)[0].to(torch.uint8).cpu().numpy()

    return run


def evaluate(predict_one: Predictor, sets: Sequence[FrameSet], output: Path, identity: dict[str, Any]) -> Evaluation:
    """Predict and count every labelled frame of `sets`; keep predictions and counts under `output`.

    Args:
        predict_one: The network, as `predictor` makes it.
        sets: Their encodings tell which classes the labels can express and which they merge.
        output: Folder for `evaluation.json`, `confusions.json` and `predictions/SET/NAME.png`.
        identity: What the result depends on; a former evaluation with the same identity is read back instead.

    Raises:
        NoInputsError: No frame has a label map.
        ImageError: A frame or label map cannot be read.
    """
    former = output / "evaluation.json"
    if former.exists() and read_json(former).get("identity") == identity:
        return read_evaluation(output)
    places = [(frames, i) for frames in sets for i in range(len(frames)) if frames.frames[i].label is not None]
    if not places:
        raise NoInputsError("no validation frame has a label map: " + ", ".join(frames.name for frames in sets))
    with storage_errors(former):
        former.unlink(missing_ok=True)  # its predictions are overwritten from here on
    names, confusions = [], []
    with Progress("evaluate", len(places), "frame") as progress:
        for done, (frames, index) in enumerate(places, 1):
            label_map = frames.read_label_map(index)
            prediction = predict_one(frames.read_image(index), label_map.shape)
            name = f"{frames.name}/{frames.frames[index].name}"
            write_atomically(prediction_path(output, name), encode_png(prediction))
            confusions.append(confusion_matrix(torch.from_numpy(label_map), torch.from_numpy(prediction)))
            names.append(name)
            progress.reach(done)
    groups, labelled_ids = scoring(sets)
    evaluation = Evaluation(names, torch.stack(confusions), groups, labelled_ids)
    counts = {
        "names": names,
        "confusions": evaluation.confusions.tolist(),
        "groups": groups,
        "labelled_ids": labelled_ids,
    }
    write_json(output / "confusions.json", counts)
    write_json(former, {"identity": identity, **evaluation.summary()})
    return evaluation


def scoring(sets: Sequence[FrameSet]) -> tuple[list[list[int]], list[int]]:
    """Merged groups, and the train ids that the labels can express, of sets that are scored together.

    Raises:
        UserError: The sets merge classes differently, so that one matrix over all of them would mean nothing.
    """
    encodings = {frame.encoding for frames in sets for frame in frames.frames if frame.encoding is not None}
    groups = {tuple(sorted(tuple(sorted(group)) for group in encoding.merged)) for encoding in encodings}
    if len(groups) > 1:
        raise UserError(
            "validation sets with different class groups cannot be scored together; evaluate each by itself"
        )
    labelled = set.intersection(*(set(encoding.train_ids) for encoding in encodings))
    merged = [list(group) for group in next(iter(groups))]
    labelled |= {group[0] for group in merged if labelled & set(group)}
    return merged, sorted(labelled)


def prediction_path(output: Path, name: str) -> Path:
    """Where the predicted label map of a frame is kept."""
    return output / "predictions" / f"{name}.png"


def read_evaluation(output: Path) -> Evaluation:
    """Read a finished evaluation back."""
    counts = read_json(output / "confusions.json")
    confusions = torch.tensor(counts["confusions"], dtype=torch.int64)
    return Evaluation(counts["names"], confusions, counts["groups"], counts["labelled_ids"])


def read_prediction(output: Path, name: str) -> np.ndarray:
    """The predicted label map of a frame, uint8 (H, W)."""
    return read_raw(prediction_path(output, name))


def evaluate_checkpoint(workspace: Workspace, path: Path, output: Path | None, machine: Machine) -> Evaluation:
    """Evaluate a segmenter of a run folder or checkpoint on the experiment's validation frames.

    Args:
        workspace: The experiment, for its validation frames.
        path: A run folder or a checkpoint of one.
        output: Where to keep the evaluation; None for `evaluation/` in the run folder.
        machine: Where to compute.

    Returns:
        The counts; a finished evaluation of the same checkpoint and frames is read back.
    """
    network, settings, checkpoint = load_segmenter(path, machine)
    identity = {
        "checkpoint": checkpoint_hash(checkpoint),
        "validation": workspace.fingerprint(workspace.validation),
        "height": settings.height,
        "precision": machine.precision,
    }
    folder = output or checkpoint.parent.parent / "evaluation"
    return evaluate(predictor(network, settings.height, machine), workspace.validation, folder, identity)


def format_summary(evaluation: Evaluation) -> str:
    """IoU per class and the means as a plain table for the terminal."""
    summary = evaluation.summary()
    titles = {group[0]: " + ".join(CLASS_NAMES[i] for i in group) for group in evaluation.groups}
    named = [(titles.get(i, name), value) for i, (name, value) in enumerate(summary["iou"].items())]
    rows = [(name, value) for name, value in named if value is not None]
    rows += [
        ("mIoU", summary["mean_iou"]),
        ("mIoU of the 16", summary["mean_iou_16"]),
        ("mIoU of the 13", summary["mean_iou_13"]),
    ]
    rows += [("pixel accuracy", summary["pixel_accuracy"]), ("mean accuracy", summary["mean_accuracy"])]
    lines = [f"{name:<28} {value:.3f}" if value is not None else f"{name:<28} -" for name, value in rows]
    low, high = (f"{value:.3f}" if value is not None else "-" for value in summary["interval_95"])
    return "\n".join([*lines, f"95 % of mIoU over images: {low} to {high}", f"{len(evaluation.names)} frames"])
