"""Evaluation by the field's protocol: one confusion matrix over the whole set, counted at the labels' full size.

The network sees each frame at its training height; its logits are brought up to the label map, never the label map
down. Predictions are kept as label maps, so that pictures and other measures need no second pass.
"""

import contextlib
import functools
import hashlib
import operator
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.data.disk.files import remove_abandoned_parts, sha256_of, storage_errors, write_atomically
from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.ownership import hold
from pipelines.data.frames import FrameSet
from pipelines.data.images import encode_png
from pipelines.data.labels.classless import remedy
from pipelines.data.labels.instances import instance_file
from pipelines.data.readers.cityscapes import TEST_SPLIT
from pipelines.engine.checkpoint_files import resolve_checkpoint
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError
from pipelines.experiment.identity import unusable
from pipelines.experiment.trained import TrainedSegmenter, load_ensemble
from pipelines.experiment.workspace import Workspace
from pipelines.progress import Progress
from pipelines.runtimes.frame_prediction import (
    EXACT,
    FramePredictor,
    Inference,
    Predictor,
    likeliest_classes,
    open_predictor,
)
from pipelines.stages.evaluation.evaluation_counts import (
    Counted,
    FrameCounts,
    Measures,
    count_frame,
    gathered,
    labelled_drives,
    what_to_count,
)
from pipelines.stages.evaluation.scores import (
    COUNTS,
    PAGE,
    Evaluation,
    prediction_path,
    read_evaluation,
    write_evaluation,
)
from segment.metrics.calibration import Reliability, reliability

PLAIN = Measures()


def evaluate(
    predict_one: Predictor,
    sets: Sequence[FrameSet],
    output: Path,
    identity: dict[str, Any],
    measures: Measures = PLAIN,
    processes: Processes = ALONE,
) -> Evaluation:
    """Predict and count every labelled frame of `sets`; keep predictions and counts under `output`.

    Several processes share the frames out. Counts of each frame come together in the frames' order, so every figure has
    the bits that one process would give it.

    Args:
        predict_one: The network, as `open_predictor` makes it.
        sets: Their encodings tell which classes the labels can express and which they merge.
        output: Folder of the files that `pipelines.stages.evaluation.scores` names.
        identity: What the result depends on; a former evaluation with the same identity is read back instead.
        measures: What to measure beside the confusion matrix; calibration needs a `FramePredictor`.
        processes: All call this alike, and see one disk; the leader writes the figures, each the predictions it made.

    Raises:
        NoInputsError: No frame has a label map.
        UserError: The processes do not have the same frames or checkpoint.
        ImageError: A frame, label map or instance map cannot be read.
    """
    places = labelled_frames(sets)
    counted = what_to_count(sets, measures)
    if counted.instances:
        identity = identity | {"instances": _instances_hash(places)}
    names = [frames.full_name(frames.frames[index]) for frames, index in places]
    processes.refuse_difference([identity, names, asdict(measures)])
    with contextlib.ExitStack() as held:
        there = processes.leads and _is_there(output, identity, measures, counted)
        if processes.leads and not there:
            held.enter_context(held_for_evaluation(output))
            there = _is_there(output, identity, measures, counted)  # made while we came to hold the folder
        if processes.leads:
            remove_abandoned_parts(output)  # also of a page, which is written once the figures are there
        if processes.any(there):
            return _with_drives(read_evaluation(output), labelled_drives(sets), output, identity, processes)
        if processes.leads:
            take_back(output)
        processes.wait()
        named = [(name, *place) for name, place in zip(names, places, strict=True)]
        found = processes.gathered(_counted(predict_one, named, output, counted, measures, processes))
        counts, reliability = [one for one, _ in found], _sum_of(sure for _, sure in found)
        evaluation = gathered(names, labelled_drives(sets), counts, counted, reliability)
        if processes.leads:
            write_evaluation(evaluation, output, identity)
        return evaluation


def _is_there(output: Path, identity: dict[str, Any], measures: Measures, counted: Counted) -> bool:
    """Whether a former evaluation serves: of the same network and frames, with all measures, of the same classes."""
    former, kept = output / "evaluation.json", output / COUNTS
    if not (former.exists() and kept.exists()):
        return False
    figures = read_json(former)
    if figures.get("identity") != identity or not measures.within(figures):
        return False
    counts = read_json(kept)
    return (counts.get("groups"), counts.get("labelled_ids")) == (counted.groups, counted.labelled_ids)


def _with_drives(
    former: Evaluation, drives: list[str], output: Path, identity: dict[str, Any], processes: Processes
) -> Evaluation:
    """A former evaluation whose intervals draw the drives as they are known now; one made before lacks them."""
    if former.drives == drives:
        return former
    evaluation = replace(former, drives=drives)
    if processes.leads:
        take_back(output, [PAGE])
        write_evaluation(evaluation, output, identity)
    return evaluation


def held_for_evaluation(output: Path) -> contextlib.AbstractContextManager[object]:
    """A folder that is this process's to write an evaluation into; BusyError where another evaluates into it."""
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    return hold(output / ".lock", f"{output}: another process evaluates into it; wait for it")


def take_back(output: Path, names: Iterable[str] = ("evaluation.json", PAGE)) -> None:
    """Have a folder that is ours no longer say what a former evaluation found: its other files are overwritten now.

    Its page is gone for good where none is made of the new figures, as by a comparison of arms.
    """
    for name in names:
        with storage_errors(output / name):
            (output / name).unlink(missing_ok=True)


def _counted(
    predict_one: Predictor,
    places: Sequence[tuple[str, FrameSet, int]],
    output: Path,
    counted: Counted,
    measures: Measures,
    processes: Processes,
) -> list[tuple[FrameCounts, Reliability | None]]:
    """Predict this process's frames, keep the predictions, and count."""
    counts = []
    with Progress("evaluate", len(processes.share(places)), "frame", stream=processes.stderr()) as progress:
        for done, (name, frames, index) in enumerate(processes.walk(places), 1):
            label_map, image = frames.read_label_map(index), frames.read_image(index)
            sure = None
            if measures.calibration and isinstance(predict_one, FramePredictor):
                logits = predict_one.logits(image, label_map.shape)
                sure = reliability(logits, torch.from_numpy(label_map)[None].to(logits.device), counted.groups)
                prediction = likeliest_classes(logits)[0].cpu().numpy()
            else:
                prediction = predict_one(image, label_map.shape)
            write_atomically(prediction_path(output, name), encode_png(prediction))
            counts.append((count_frame(label_map, prediction, frames.frames[index].label, counted), sure))
            progress.reach(done)
    return counts


def _sum_of(parts: Iterable[Reliability | None]) -> Reliability | None:
    known = [part for part in parts if part is not None]
    return functools.reduce(operator.add, known) if known else None


def labelled_frames(sets: Sequence[FrameSet]) -> list[tuple[FrameSet, int]]:
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
    why = f": {of_test_split[0]}" if of_test_split else f". {remedy(sets[0])}"
    return f"no label map of {names} has a pixel of a class, so there is nothing to score{why}"


def _instances_hash(places: Sequence[tuple[FrameSet, int]]) -> str:
    digest = hashlib.sha256()
    for frames, index in places:
        label = frames.frames[index].label
        path = None if label is None else instance_file(label)
        digest.update(b"" if path is None else sha256_of(path).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class EvaluationOptions:
    """How a network is evaluated, beyond what the protocol fixes; by default as every report has it."""

    inference: Inference = EXACT
    """What computes, and how often the network looks at a frame."""
    measures: Measures = PLAIN
    """What to measure beside the confusion matrix."""
    output: Path | None = None
    """Where to keep the evaluation; None for a folder in the segmenter's run folder."""


AS_REPORTED = EvaluationOptions()


def evaluate_checkpoint(
    workspace: Workspace, path: Path, session: Session, options: EvaluationOptions = AS_REPORTED
) -> Evaluation:
    """Evaluate a segmenter of a run folder or checkpoint on the experiment's validation frames.

    Args:
        workspace: The experiment, for its validation frames.
        path: A run folder or a checkpoint of one.
        session: How to compute.
        options: How to evaluate; see `evaluation_folder` for where it is kept.

    Returns:
        The counts; a finished evaluation of the same checkpoint and frames is read back.
    """
    return evaluate_segmenter(workspace, load_ensemble([path], session.machine), session, options)


def evaluate_segmenter(
    workspace: Workspace, trained: TrainedSegmenter, session: Session, options: EvaluationOptions
) -> Evaluation:
    """Evaluate a segmenter that is open already; for one that averages several, `options.output` says where."""
    machine, inference = session.machine, options.inference
    identity = {
        "checkpoint": trained.sha256,
        "validation": workspace.sets.fingerprint(workspace.validation),
        "height": trained.height,
        "precision": machine.precision,
        **unusable(validation=workspace.validation),
    }
    folder = evaluation_folder(trained.checkpoints[0], options, workspace)
    ready = open_predictor(trained.network, trained.height, machine, inference)
    sets, processes = workspace.validation, machine.processes
    return evaluate(ready, sets, folder, identity | inference.identity(), options.measures, processes)


def evaluation_folder(path: Path, options: EvaluationOptions, workspace: Workspace) -> Path:
    """Folder of the evaluation of a run folder or checkpoint; any but the exact one of a single look, which reports
    use, has its own, and so have those on the test frames.
    """
    name = "_".join(filter(None, (workspace.on_part("evaluation"), options.inference.name)))
    return options.output or resolve_checkpoint(path).parent.parent / name
