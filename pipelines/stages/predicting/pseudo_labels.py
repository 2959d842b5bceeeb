"""Label frames without labels by trained networks: what they are surest of, class by class, as a data set.

OUT/seen/SET/NAME.png        the three likeliest classes of every pixel, as train ids: red, green, blue
OUT/confidence/SET/NAME.png  how likely they are, 255 for certainty
OUT/manifest.jsonl           both of every frame, with hashes, as of every prediction
OUT/labels/SET/NAME.png      of these what counts: train ids, 255 where no class reaches its threshold
OUT/pseudo_labels.json       thresholds and counts of the classes, and the hashes of these maps; written last

Networks look at each frame once (twice where prototypes are asked for); another choice of thresholds takes none. Label
maps that the frames may have are never read.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.plan import PlannedFrame, plan_sets
from pipelines.batch_inference.watched import watched
from pipelines.batch_inference.work import Work, work_through
from pipelines.data.disk.files import write_atomically
from pipelines.data.disk.json_files import read_json, write_json
from pipelines.data.disk.manifest import MANIFEST, ManifestEntry, read_manifest
from pipelines.data.disk.ownership import hold
from pipelines.data.frames import FrameSet
from pipelines.data.images import encode_png, read_raw
from pipelines.data.readers.pseudo_labelled import CHOSEN, LABELS, finished, labelled_frame
from pipelines.engine.launch import make_deterministic
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.trained import TrainedSegmenter
from pipelines.progress import Progress
from pipelines.runtimes.frame_prediction import Inference, TestTimeAugmentation, open_predictor
from pipelines.stages.predicting.labeller import CANDIDATES, CLASSES, Labeller, Prototypes, PseudoLabelWriter
from segment.adaptation.pseudo_labels import CONFIDENCES, assigned_labels, class_thresholds
from segment.classes import CLASS_NAMES, IGNORE_INDEX

SEEN, CONFIDENCE = PurePosixPath("seen"), PurePosixPath("confidence")


@dataclass(frozen=True)
class Choice:
    """Which of what the networks say becomes a label; the settings of `segment.methods.cbst` say more."""

    kept_share: float
    largest_threshold: float
    assignment: Literal["balanced", "likeliest"]
    flip: bool
    prototype_temperature: float

    def __post_init__(self) -> None:
        for name in ("kept_share", "largest_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is {getattr(self, name)}; expected a number from 0 to 1")
        if not 0 <= self.prototype_temperature < float("inf"):
            raise UserError(f"prototype_temperature is {self.prototype_temperature}; expected a number from 0 on")


@dataclass(frozen=True)
class Chosen:
    """What was chosen, by train id."""

    thresholds: list[float]
    """Probability from which on a pixel counts; above 1 for a class that no pixel was given to."""
    pixels: list[int]
    """Pixels whose likeliest class each is."""
    kept: list[int]
    """Pixels that have each for their label; more than these where it gained some of other classes."""

    def table(self) -> str:
        """For the terminal: a class per line, those that were seen; both shares are of all pixels."""
        total = max(sum(self.pixels), 1)
        lines = [f"{'':<16}{'likeliest':>10}{'threshold':>11}{'labelled':>10}"]
        for name, threshold, pixels, kept in zip(CLASS_NAMES, self.thresholds, self.pixels, self.kept, strict=True):
            if pixels:
                lines.append(f"{name:<16}{pixels / total:>10.1%}{threshold:>11.3f}{kept / total:>10.1%}")
        return "\n".join([*lines, f"{'all':<16}{1:>10.0%}{'':>11}{sum(self.kept) / total:>10.1%}"])


def write_pseudo_labels(
    sets: Sequence[FrameSet], trained: TrainedSegmenter, output: Path, choice: Choice, session: Session
) -> Chosen:
    """Label every frame of `sets`, as far as it is not done.

    Args:
        sets: The frames; their own label maps are not read.
        trained: Who labels them.
        output: Folder of the set; one of other networks or frames is refused, or set aside where the session restarts.
        choice: Which labels count.
        session: How to compute.

    Raises:
        NoInputsError: There are no frames.
        UserError: The folder holds another set, or prototypes are asked of a mean of networks.
    """
    frames = [_planned(frame) for frame in plan_sets(sets, output)]
    if not frames:
        raise NoInputsError(f"there are no frames to label into {output}")
    make_deterministic(session.machine.deterministic)
    predictor = open_predictor(trained.network, trained.height, session.machine, _looks(choice))
    clock = NetworkClock(str(session.machine.device))
    with watched("label the target", session) as control:
        prototypes = None
        if choice.prototype_temperature > 0:
            prototypes = Prototypes(trained, predictor, frames, control.stop_requested)
        labeller = Labeller(predictor, clock, temperature=choice.prototype_temperature, prototypes=prototypes)
        work = Work(
            frames=frames,
            output=output,
            plan={
                "format": 2,
                "checkpoint_sha256": trained.sha256,
                "height": trained.height,
                "precision": session.machine.precision,
                "flip": choice.flip,
                "prototype_temperature": choice.prototype_temperature,
            },
            network=labeller,
            writer=PseudoLabelWriter(trained.sha256),
            what="set of pseudo-labels",
            action="labelled",
        )
        outcome = work_through(work, lambda: clock.share, control)
    if outcome.failed:
        raise UserError(f"{outcome.failures[0].reason}; every target frame must be readable to be labelled")
    return choose(work.output, choice)


def choose(output: Path, choice: Choice) -> Chosen:
    """Write which of the labels count, by thresholds that follow from all frames together.

    Args:
        output: Of a set whose manifest is written.
        choice: A set that was chosen from so before is left as it is.
    """
    with hold(output / ".choice.lock", f"{output}: another process chooses labels in it; wait for it"):
        manifest = (output / MANIFEST).read_bytes()
        identity = {"manifest_sha256": hashlib.sha256(manifest).hexdigest(), "choice": asdict(choice)}
        former = read_json(output / CHOSEN) if (output / CHOSEN).is_file() else {}
        if former.get("identity") == identity and "labels_sha256" in former:
            return Chosen(**former["classes"])
        (output / CHOSEN).unlink(missing_ok=True)
        entries = read_manifest(output / MANIFEST)
        counts = np.zeros((CLASSES, CONFIDENCES), np.int64)
        with Progress("count confidences", len(entries), "frame") as progress:
            for done, entry in enumerate(entries, 1):
                candidates, confidences = _read(output, entry)
                flat = candidates[0] * CONFIDENCES + confidences[0]
                counts += np.bincount(flat.ravel().numpy(), minlength=counts.size).reshape(counts.shape)
                progress.reach(done)
        thresholds = class_thresholds(torch.from_numpy(counts), choice.kept_share, choice.largest_threshold)
        weighed = 1 if choice.assignment == "likeliest" else CANDIDATES
        kept = np.zeros(CLASSES, np.int64)
        hashes = {}
        with Progress("write pseudo-labels", len(entries), "frame") as progress:
            for done, entry in enumerate(entries, 1):
                candidates, confidences = _read(output, entry)
                label_map = assigned_labels(candidates[:weighed], confidences[:weighed], thresholds).numpy()
                kept += np.bincount(label_map[label_map != IGNORE_INDEX], minlength=CLASSES)
                data = encode_png(label_map.astype(np.uint8))
                write_atomically(output / LABELS / f"{entry.frame}.png", data)
                hashes[entry.frame] = hashlib.sha256(data).hexdigest()
                progress.reach(done)
        chosen = Chosen(
            [threshold / (CONFIDENCES - 1) for threshold in thresholds.tolist()],
            counts.sum(1).tolist(),
            kept.tolist(),
        )
        write_json(output / CHOSEN, {"identity": identity, "classes": asdict(chosen), "labels_sha256": hashes})
        return chosen


def is_chosen(sets: Sequence[FrameSet], root: Path, choice: Choice) -> bool:
    """Whether all frames of the sets have labels in `root`, chosen so, and nothing is left to be done."""
    if not (root / CHOSEN).is_file() or read_json(root / CHOSEN)["identity"]["choice"] != asdict(choice):
        return False
    known = {entry.frame for entry in read_manifest(root / MANIFEST)}
    return all(frames.full_name(frame) in known for frames in sets for frame in frames.frames)


def with_pseudo_labels(sets: Sequence[FrameSet], root: Path) -> list[FrameSet]:
    """The frame sets that were labelled together, with the labels in `root` in the place of any of their own.

    Raises:
        UserError: A frame was not labelled: they are other frames than then.
    """
    known = {entry.frame for entry, _ in finished(root)}
    relabelled = []
    for frames in sets:
        found = []
        for frame in frames.frames:
            name = frames.full_name(frame)
            if name not in known:
                raise UserError(f"{root} has no pseudo-labels for {name}; write the set again")
            found.append(replace(labelled_frame(root, name, frame.image), name=frame.name))
        relabelled.append(replace(frames, frames=found))
    return relabelled


def _read(output: Path, entry: ManifestEntry) -> tuple[Tensor, Tensor]:
    """The likeliest classes and their confidences, int64 (CANDIDATES, H, W)."""
    candidates, confidences = (
        torch.from_numpy(read_raw(output / str(name))).long().movedim(-1, 0) for name in (entry.image, entry.overlay)
    )
    return candidates, confidences


def _planned(frame: PlannedFrame) -> PlannedFrame:
    name = PurePosixPath(f"{frame.name}.png")
    return replace(
        frame,
        output_image=SEEN / name,
        output_overlay=CONFIDENCE / name,
        label=None,
        label_encoding=None,
        output_label=None,
        sidecars=(),
    )


def _looks(choice: Choice) -> Inference:
    return Inference(augmentation=TestTimeAugmentation(flip=choice.flip))
