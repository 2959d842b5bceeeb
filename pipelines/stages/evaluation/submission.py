"""Predictions as the Cityscapes benchmark takes them: label ids, at the size of the labels, by their official names.

Its evaluator looks for CITY_SEQUENCE_FRAME*.png anywhere below a folder. Frames without labels, as of its test split,
are predicted too: a submission is made of them.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.data.disk.files import remove_abandoned_parts, write_atomically
from pipelines.data.frames import FrameSet
from pipelines.data.images import encode_png
from pipelines.data.labels.label_formats import in_format
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.trained import TrainedSegmenter
from pipelines.progress import Progress
from pipelines.runtimes.frame_prediction import Inference, Predictor, open_predictor
from pipelines.stages.evaluation.scores import prediction_path, read_prediction

OFFICIAL = re.compile(r"[A-Za-z-]+_\d{6}_\d{6}")
ENDING = "_pred_labelIds.png"


def frame_code(stem: str) -> str | None:
    """CITY_SEQUENCE_FRAME at the start of a file's name, or None: not named as Cityscapes names its frames."""
    match = OFFICIAL.match(stem)
    return match[0] if match else None


def refuse_other_names(sets: Sequence[FrameSet]) -> None:
    """Before hours of prediction, not after them.

    Raises:
        UserError: A frame is not named as Cityscapes names its frames, or two have one name.
    """
    seen: dict[str, str] = {}
    for frames in sets:
        for frame in frames.frames:
            code = frame_code(Path(frame.name).name)
            if code is None:
                raise UserError(
                    f"--submission: frame {frame.name!r} of {frames.name!r} is not named CITY_123456_123456, as the "
                    "benchmark needs it"
                )
            if code in seen:
                raise UserError(f"--submission: {frame.name!r} and {seen[code]!r} would be written to one file, {code}")
            seen[code] = frame.name


def write_submission(
    sets: Sequence[FrameSet],
    evaluated: Path | None,
    predict_one: Predictor,
    folder: Path,
    processes: Processes = ALONE,
) -> int:
    """Write a PNG of label ids for every frame.

    Args:
        sets: Their frames are named as Cityscapes names them.
        evaluated: Folder of an evaluation by the same network, whose predictions are used again; None without one.
        predict_one: Predicts the frames that the evaluation passed over, for want of labels, at their own size.
        folder: Gets CITY_SEQUENCE_FRAME_pred_labelIds.png of each frame; made if missing.
        processes: All call this alike, and share the frames out.

    Returns:
        The number of files, when all of them are written.
    """
    refuse_other_names(sets)
    if processes.leads:
        remove_abandoned_parts(folder)
    processes.wait()
    places = [(frames, i) for frames in sets for i in range(len(frames))]
    with Progress("submission", len(processes.share(places)), "frame", stream=processes.stderr()) as progress:
        for done, (frames, i) in enumerate(processes.walk(places), 1):
            name = frames.full_name(frames.frames[i])
            if evaluated is not None and prediction_path(evaluated, name).exists():
                label_map = read_prediction(evaluated, name)
            else:
                image = frames.read_image(i)
                label_map = predict_one(image, (image.shape[0], image.shape[1]))
            code = frame_code(Path(frames.frames[i].name).name)
            write_atomically(folder / f"{code}{ENDING}", encode_png(in_format(label_map, "label_ids")))
            progress.reach(done)
    processes.wait()
    return len(places)


def submit_segmenter(
    sets: Sequence[FrameSet],
    trained: TrainedSegmenter,
    evaluated: Path | None,
    folder: Path,
    session: Session,
    inference: Inference,
) -> int:
    """Write a submission of predictions by a trained segmenter, or by several as one."""
    predict_one = open_predictor(trained.network, trained.height, session.machine, inference)
    return write_submission(sets, evaluated, predict_one, folder, session.machine.processes)
