"""The pictures of a comparison's report: translations beside real frames, predictions, and where each arm errs."""

from pathlib import Path

import cv2
import numpy as np

from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.data.frames import FrameSet
from pipelines.data.images import read_image
from pipelines.data.selection.evenly import evenly
from pipelines.experiment.arms import COMPARED
from pipelines.experiment.workspace import Workspace
from pipelines.report.error_maps import ErrorPicture, most_confused, ranked_frames
from pipelines.report.pages.page import Gallery, PredictionPicture, Translation
from pipelines.stages.comparison.logged import rows
from pipelines.stages.evaluation.evaluate import AS_REPORTED, evaluation_folder
from pipelines.stages.evaluation.scores import Evaluation, read_prediction

SHOWN_TRANSLATIONS = 4
SHOWN_PREDICTIONS = 3
SEARCHED_NEIGHBOURS = 300
NEIGHBOUR_SIZE = (32, 16)


def gather_pictures(workspace: Workspace, evaluations: dict[tuple[int, str], Evaluation]) -> Gallery:
    """The pictures of the first seed: translations beside their nearest real frame; best and worst predictions."""
    seed = workspace.experiment.compare.seeds[0]
    scores = np.array(evaluations[seed, "translated"].frame_scores())
    order = np.argsort(scores, kind="stable")[: np.isfinite(scores).sum()]  # NaN, a frame without labels, comes last
    count = min(SHOWN_PREDICTIONS, len(order) // 2)  # of each end; a frame that is alone is the best
    here = {arm: evaluations[seed, arm] for arm in COMPARED}
    losses = rows(workspace.translator(seed) / "metrics.jsonl") if workspace.translates else []
    return Gallery(
        translations=_translations(workspace, seed) if workspace.translates else [],
        best=[_prediction(workspace, seed, here, int(i)) for i in order[::-1][: max(1, count)]],
        worst=[_prediction(workspace, seed, here, int(i)) for i in order[:count]],
        translator_curve=[(row["step"], {k: v for k, v in row.items() if k != "step"}) for row in losses],
        errors={arm: _errors(workspace, _evaluated(workspace, seed, arm), one) for arm, one in here.items()},
    )


def _translations(workspace: Workspace, seed: int) -> list[Translation]:
    folder = workspace.translated(seed)
    chosen = evenly(read_manifest(folder / MANIFEST), SHOWN_TRANSLATIONS)
    sources = {frames.full_name(frame): frame.image for frames in workspace.source for frame in frames.frames}
    real = [(frames, i) for frames in workspace.target for i in range(len(frames))]
    real = real[:: 1 + len(real) // SEARCHED_NEIGHBOURS]
    thumbnails = np.stack([_thumbnail(frames.read_image(i)) for frames, i in real])
    shown = []
    for entry in chosen:
        translated = read_image(folder / entry.image)
        nearest = int(np.square(thumbnails - _thumbnail(translated)).mean((1, 2, 3)).argmin())
        neighbour = real[nearest][0].read_image(real[nearest][1])
        shown.append(Translation(read_image(sources[entry.frame]), translated, neighbour, entry.frame))
    return shown


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """A coarse picture in which frames of similar layout and light are near each other."""
    return cv2.resize(image, NEIGHBOUR_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)


def _prediction(workspace: Workspace, seed: int, evaluations: dict[str, Evaluation], place: int) -> PredictionPicture:
    name = evaluations["translated"].names[place]
    frames, index = _validation_frame(workspace.validation, name)
    return PredictionPicture(
        name=name,
        image=frames.read_image(index),
        label=frames.read_label_map(index),
        predictions={arm: read_prediction(_evaluated(workspace, seed, arm), name) for arm in COMPARED},
        scores={arm: evaluation.frame_scores()[place] for arm, evaluation in evaluations.items()},
    )


def _errors(workspace: Workspace, folder: Path, evaluation: Evaluation) -> list[ErrorPicture]:
    """The best, median and worst frame of one arm, whose evaluation is in `folder`."""
    scores = evaluation.frame_scores()
    found = []
    for rank, place in ranked_frames(scores).items():
        name = evaluation.names[place]
        frames, index = _validation_frame(workspace.validation, name)
        picture = ErrorPicture(
            rank=rank,
            name=name,
            score=scores[place],
            image=frames.read_image(index),
            label=frames.read_label_map(index),
            prediction=read_prediction(folder, name),
            confused=most_confused(evaluation.merged[place].tolist()),
            groups=evaluation.groups,
        )
        found.append(picture)
    return found


def _evaluated(workspace: Workspace, seed: int, arm: str) -> Path:
    """Folder of an arm's evaluation."""
    return evaluation_folder(workspace.segmenter(seed, arm), AS_REPORTED, workspace)


def _validation_frame(sets: list[FrameSet], name: str) -> tuple[FrameSet, int]:
    for frames in sets:
        for index, frame in enumerate(frames.frames):
            if frames.full_name(frame) == name:
                return frames, index
    raise KeyError(name)
