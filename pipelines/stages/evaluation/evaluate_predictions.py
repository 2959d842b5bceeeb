"""Evaluation without a network: label maps that something else predicted, against the labels of frame sets.

The time goes into decoding, so frames are counted by several processes. Files are found by the frame's name, as the
official evaluator finds them, wherever they lie in the folder.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from pipelines.data.disk.files import remove_abandoned_parts
from pipelines.data.disk.json_files import read_json
from pipelines.data.frames import FrameSet
from pipelines.data.images import image_error
from pipelines.data.labels.encodings import IGNORE, cityscapes
from pipelines.data.parents import end_with_the_parent, leave_signals_to_the_parent, signals_held_back
from pipelines.data.readers.layout import Frame, files_below
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import UserError
from pipelines.experiment.workspace import Workspace
from pipelines.progress import Progress
from pipelines.runtimes.acceleration import keep_freed_memory
from pipelines.stages.evaluation.evaluate import PLAIN, held_for_evaluation, labelled_frames, take_back
from pipelines.stages.evaluation.evaluation_counts import (
    Counted,
    FrameCounts,
    Measures,
    count_frame,
    gathered,
    labelled_drives,
    what_to_count,
)
from pipelines.stages.evaluation.scores import Evaluation, write_evaluation
from pipelines.stages.evaluation.submission import frame_code

PredictedIds = Literal["train_ids", "label_ids"]

LOOKED_AT = 8
"""Frames whose predictions are looked at before any is counted."""

Task = tuple[FrameSet, Path, PredictedIds, Counted]


def evaluate_predictions(
    sets: Sequence[FrameSet],
    folder: Path,
    ids: PredictedIds,
    output: Path,
    workers: int = 0,
    measures: Measures = PLAIN,
    processes: Processes = ALONE,
) -> Evaluation:
    """Count the predictions of every labelled frame of `sets`.

    Args:
        sets: With labels.
        folder: Holds a PNG of the label map's size for each of their frames, in one channel.
        ids: What the PNGs hold: train ids, or the label ids of Cityscapes. What is no class is a miss.
        output: Folder of the figures; predictions are not copied there.
        workers: Processes that count; 0 for this one alone.
        measures: What to measure beside the confusion matrix. There is no calibration without a network.
        processes: All call this alike, and share the frames out; each has workers of its own. The leader writes.

    Raises:
        NoInputsError: No frame has a label map.
        UserError: A frame has no prediction, or several; or the PNGs hold ids of the other kind.
        ImageError: A file cannot be read, or a prediction is of another size than its label map.
        BusyError: Another process evaluates into `output`.
    """
    places = labelled_frames(sets)
    counted = what_to_count(sets, replace(measures, calibration=False))
    found = find_predictions(folder, places)
    refuse_other_ids(folder, places, found, ids)
    tasks = [
        (replace(frames, frames=[frames.frames[i]], unpaired_labels=[]), path, ids, counted)
        for (frames, i), path in zip(places, found, strict=True)
    ]
    names = [frames.full_name(frames.frames[i]) for frames, i in places]
    processes.refuse_difference([names, ids, asdict(measures)])
    own = processes.share(tasks)
    counts = []
    with held_for_evaluation(output) if processes.leads else nullcontext():
        if processes.leads:
            remove_abandoned_parts(output)
            take_back(output)
        with Progress("evaluate", len(own), "frame", stream=processes.stderr()) as progress:
            for _, one in zip(processes.walk(tasks), _counted_in_order(own, workers), strict=True):
                counts.append(one)
                progress.reach(len(counts))
        evaluation = gathered(names, labelled_drives(sets), processes.gathered(counts), counted)
        if processes.leads:
            write_evaluation(evaluation, output, {"predictions": str(folder.absolute()), "ids": ids})
    return evaluation


def folder_of_predictions(workspace: Workspace, folder: Path) -> Path:
    """Where the evaluation of label maps from elsewhere is kept: RUN/evaluation/NAME, NAME being that of their folder.

    The folder itself is somebody's, to be read alone: perhaps another tool's, or on a disk without writing.

    Raises:
        UserError: That of another folder of this name is there, or of a network.
    """
    kept = workspace.run / workspace.on_part("evaluation") / folder.resolve().name
    if (kept / "evaluation.json").exists():
        former = read_json(kept / "evaluation.json")["identity"].get("predictions", "a network")
        if former != str(folder.absolute()):
            raise UserError(f"{kept} is the evaluation of {former}; say with --output where to keep that of {folder}")
    return kept


def find_predictions(folder: Path, places: Sequence[tuple[FrameSet, int]]) -> list[Path]:
    """The prediction of each frame: at its own path below the folder, or the one PNG anywhere with a name of it.

    Raises:
        UserError: A frame has none, or several; or two frames have the same.
    """
    if not folder.is_dir():
        raise UserError(f"--predictions {folder}: no such folder")
    paths = {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(files_below(folder))
        if path.suffix.lower() == ".png"
    }
    by_stem: dict[str, list[Path]] = {}
    for path in paths.values():
        by_stem.setdefault(path.stem, []).append(path)
        if (code := frame_code(path.stem)) is not None and code != path.stem:
            by_stem.setdefault(code, []).append(path)
    found: dict[Path, str] = {}
    for frames, i in places:
        name = frames.frames[i].name
        path = _prediction_of(frames.name, frames.frames[i], folder, paths, by_stem)
        if path in found:
            raise UserError(
                f"--predictions {folder}: {path} has the name of two frames, {found[path]!r} and {name!r}, and can be "
                f"the prediction of one; expected {found[path]}.png and {name}.png"
            )
        found[path] = name
    return list(found)


def _prediction_of(
    set_name: str, frame: Frame, folder: Path, paths: dict[str, Path], by_stem: dict[str, list[Path]]
) -> Path:
    for place in (
        f"{set_name}/{frame.name}",
        frame.name,
        f"labels/{frame.name}",
        f"predictions/{set_name}/{frame.name}",
    ):
        if place in paths:
            return paths[place]
    names = {Path(frame.name).name, frame.image.stem, frame_code(frame.image.stem) or frame.image.stem}
    found = sorted({path for name in names for path in by_stem.get(name, ())})
    if len(found) > 1:
        raise UserError(f"--predictions {folder}: two files for frame {frame.name!r}: {found[0]} and {found[1]}")
    if not found:
        raise UserError(f"--predictions {folder}: no PNG for frame {frame.name!r}; expected {frame.name}.png, say")
    return found[0]


def _counted_in_order(tasks: Sequence[Task], workers: int) -> Iterator[FrameCounts]:
    if workers == 0:
        yield from map(count_predicted, tasks)
        return
    # Forked, they start at once with all modules loaded; they compute on one thread each, on the CPU alone.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
    with ProcessPoolExecutor(workers, multiprocessing.get_context(method), _begin) as pool:
        try:
            with signals_held_back():
                counted = pool.map(count_predicted, tasks, chunksize=4)
            yield from counted
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin() -> None:
    leave_signals_to_the_parent()
    end_with_the_parent()
    torch.set_num_threads(1)
    keep_freed_memory()


def count_predicted(task: Task) -> FrameCounts:
    """Count one frame with its prediction from disk; ImageError if a file cannot be used."""
    frames, path, ids, counted = task
    label_map = frames.read_label_map(0)
    prediction = _read_prediction(path, ids)
    if prediction.shape != label_map.shape or prediction.dtype != np.uint8:
        raise image_error(
            path,
            f"the prediction is {prediction.dtype} {prediction.shape}, expected uint8 {label_map.shape} as the label "
            f"map {frames.frames[0].label}",
        )
    prediction = _as_train_ids(prediction, ids)
    return count_frame(label_map, prediction, frames.frames[0].label, counted)


def refuse_other_ids(
    folder: Path, places: Sequence[tuple[FrameSet, int]], found: Sequence[Path], ids: PredictedIds
) -> None:
    """Compare a few predictions with their labels as ids of both kinds: both have valid values, and one means nothing.

    A net that sees one class everywhere may be right by accident in the other ids, so several classes must be hit.

    Raises:
        UserError: The predictions fit in the other ids, and not in `ids`.
    """
    other: PredictedIds = "label_ids" if ids == "train_ids" else "train_ids"
    right, pixels, hit = {ids: 0, other: 0}, 0, set()
    every = max(1, len(places) // LOOKED_AT)
    for (frames, index), path in zip(places[::every], found[::every], strict=True):
        label_map, prediction = frames.read_label_map(index), _read_prediction(path, ids)
        if prediction.shape != label_map.shape or prediction.dtype != np.uint8:
            continue  # refused by its name where it is counted
        counts = label_map != IGNORE
        pixels += int(counts.sum())
        for kind in right:
            hits = counts & (_as_train_ids(prediction, kind) == label_map)
            right[kind] += int(hits.sum())
            if kind == other:
                hit.update(np.unique(label_map[hits]).tolist())
    if len(hit) > 1 and right[other] > max(pixels / 2, 4 * right[ids]):
        raise UserError(
            f"--predictions {folder}: read as {ids}, {right[ids] / pixels:.1%} of the pixels are right; read as "
            f"{other}, {right[other] / pixels:.1%}. Use --predicted {other}"
        )


def _read_prediction(path: Path, ids: PredictedIds) -> np.ndarray:
    """The ids as they are stored, or as the colours of a palette tell them."""
    return cityscapes("labelIds" if ids == "label_ids" else "labelTrainIds").stored(path)


def _as_train_ids(prediction: np.ndarray, ids: PredictedIds) -> np.ndarray:
    return _train_ids()[prediction] if ids == "label_ids" else prediction


@lru_cache
def _train_ids() -> np.ndarray:
    table = np.full(256, IGNORE, np.uint8)
    for label_id, train_id in cityscapes().ids.items():
        table[label_id] = train_id
    return table
