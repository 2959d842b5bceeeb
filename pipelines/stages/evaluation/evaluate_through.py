"""Expert after generator: how well does a segmenter read real frames that were first translated towards its own domain?

The evaluation of Mütze et al., VISAPP 2023 (arXiv:2208.08815): the expert stays what it was, the frames come to it. The
protocol is that of `evaluate`; figures stand beside those of the same segmenter on the frames as they are.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.data.images import to_image
from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.launch import Machine
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.identity import unusable
from pipelines.experiment.trained import load_segmenter, load_translator
from pipelines.experiment.workspace import Workspace
from pipelines.report.columns import in_columns
from pipelines.report.figures import change, score
from pipelines.runtimes.frame_prediction import as_seen, open_predictor
from pipelines.stages.evaluation.evaluate import AS_REPORTED, EvaluationOptions, evaluate
from pipelines.stages.evaluation.evaluation_table import frames_in_words
from pipelines.stages.evaluation.scores import ALL_CLASSES, Evaluation
from translate.choices import Direction
from translate.translator import Translator

ArrayTranslation = Callable[[np.ndarray], np.ndarray]
"""uint8 (H, W, 3) to uint8 (h, w, 3) of the same aspect."""


def evaluate_through(
    workspace: Workspace,
    segmenter: Path,
    translator: Path,
    direction: Direction,
    session: Session,
    options: EvaluationOptions = AS_REPORTED,
) -> Evaluation:
    """Evaluate a segmenter on the experiment's validation frames after their translation.

    Frames are translated at `translation.height` if the experiment sets it, else at the height that the segmenter sees,
    and rounded to 8 bits, as if they had been written to disk in between.

    Args:
        workspace: The experiment, for its validation frames.
        segmenter: A run folder or a checkpoint of one.
        translator: A run folder or a checkpoint of one.
        direction: "target_to_source" brings real frames to a segmenter of synthetic ones.
        session: How to compute.
        options: How to evaluate. Without a place of its own each translator has one in the segmenter's run folder.

    Raises:
        UserError: The translator does not learn this direction, or takes label maps.
    """
    machine, inference = session.machine, options.inference
    method, translating = load_translator(translator, machine)
    if method.takes != "image" or direction not in method.directions:
        learnt = ", ".join(method.directions) if method.takes == "image" else "label maps to images"
        raise UserError(f"--through {translator}: this translator does not go {direction}; it has learnt {learnt}")
    network, settings, checkpoint = load_segmenter(segmenter, machine)
    height = workspace.experiment.translation.height or settings.height
    identity = {
        "checkpoint": checkpoint_hash(checkpoint),
        "translator": checkpoint_hash(translating),
        "direction": direction,
        "translation_height": height,
        "validation": workspace.sets.fingerprint(workspace.validation),
        "height": settings.height,
        "precision": machine.precision,
        **unusable(validation=workspace.validation),
    }
    name = "_".join(filter(None, (f"{direction}-{identity['translator'][:12]}", inference.name)))
    folder = options.output or checkpoint.parent.parent / "evaluation_through" / workspace.on_part(name)
    translate = array_translation(method, direction, height, machine)
    ready = replace(open_predictor(network, settings.height, machine, inference), before=translate)
    sets, processes = workspace.validation, machine.processes
    return evaluate(ready, sets, folder, identity | inference.identity(), options.measures, processes)


def array_translation(method: Translator, direction: Direction, height: int, machine: Machine) -> ArrayTranslation:
    """Make a function that translates one frame at a height, and leaves it there."""

    def run(image: np.ndarray) -> np.ndarray:
        with machine.autocast():
            translated = method.translate(as_seen(image, height, machine.device), direction)
        return to_image(translated[0].float().cpu())

    return run


def format_both(alone: Evaluation, through: Evaluation) -> str:
    """IoU per class and its mean, on the frames as they are and after translation, as a table for the terminal."""
    first, second = alone.iou(), through.iou()
    scored = [i for i in alone.scored(ALL_CLASSES) if first[i] is not None or second[i] is not None]
    pairs = [(alone.title(i), first[i], second[i]) for i in scored]
    pairs.append(("mIoU", alone.mean_iou(), through.mean_iou()))
    rows = [["", "alone", "through", "change"]]
    for title, before, after in pairs:
        difference = None if before is None or after is None else after - before
        rows.append([title, score(before), score(after), change(difference)])
    return "\n".join([*in_columns(rows), frames_in_words(through)])
