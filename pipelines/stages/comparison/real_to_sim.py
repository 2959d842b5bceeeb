"""Real to sim: a network of synthetic frames stands behind a translator of real ones, heavy or light.

Mütze et al., VISAPP 2023 (arXiv:2208.08815), have a car carry both: every frame goes through the generator, then
through the expert. Here a student learns the generator's way back as it learns the way there, and takes its place.
"""

from pathlib import Path

import torch

from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.trained import finished_translator, load_segmenter, load_translator
from pipelines.experiment.workspace import Workspace
from pipelines.report.student import Measure
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.runtimes.frame_translation import Translate, open_translation
from pipelines.runtimes.segmenter_runtime import open_runtime
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
from pipelines.stages.evaluation.evaluate_through import evaluate_through
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.train_translator import train_translator
from segment.complexity import time_calls
from translate.choices import Direction
from translate.methods import METHODS

EXPERT = "source_only"
"""The arm that has seen synthetic frames alone."""
PAIR_SCORE = "mIoU of source-only on target frames: as they are, by teacher, by student"
PAIR_SPEED = "frames/s of source-only with its translator, networks alone"
WARMUP, REPEATS = 2, 5
"""Passes over one frame: not timed, and timed."""


def refuse_one_way(workspace: Workspace) -> None:
    """UserError where the experiment's translator does not go from target to source."""
    method = workspace.experiment.translator.method
    if "target_to_source" not in METHODS[method].directions:
        both = ", ".join(name for name, one in METHODS.items() if "target_to_source" in one.directions)
        raise UserError(
            f"--real-to-sim: translator.method is {method}, which does not go from target to source; choose {both}, or "
            "leave the option out"
        )


def measure_real_to_sim(workspace: Workspace, seed: int, session: Session) -> list[Measure]:
    """Train what is missing, evaluate the source-only network behind nothing, teacher and student, and time the pairs.

    Args:
        workspace: An experiment with a [student] and a finished translator that goes both ways; the student from source
            to target is trained, and with it the arm by whose features real patches are found.
        seed: Whose translator is the teacher.
        session: How to compute.

    Returns:
        Two rows; the source's column is that of target frames as they are.
    """
    back = workspace.student_back(seed)
    train_translator(back, seed, session)
    expert = train_segmenter(workspace, seed, EXPERT, session)
    ways: dict[str, tuple[Path, Direction]] = {
        "teacher": (finished_translator(workspace, seed), "target_to_source"),
        "student": (finished_translator(back, seed), "source_to_target"),
    }
    scores: dict[str, float | None] = {"source": evaluate_checkpoint(workspace, expert, session).mean_iou()}
    speeds: dict[str, float | None] = {"source": _frames_per_second(workspace, expert, session, None)}
    for name, (translator, direction) in ways.items():
        scores[name] = evaluate_through(workspace, expert, translator, direction, session).mean_iou()
        method, _ = load_translator(translator, session.machine)
        speeds[name] = _frames_per_second(
            workspace, expert, session, open_translation(method, session.machine, direction)
        )
    return [Measure(PAIR_SCORE, "higher", scores), Measure(PAIR_SPEED, "higher", speeds)]


def _frames_per_second(workspace: Workspace, expert: Path, session: Session, translate: Translate | None) -> float:
    """From one validation frame, at the heights at which it is translated and then seen as it is evaluated, to its
    label map of the latter size; reading and resizing are not part of it.
    """
    machine = session.machine
    network, settings, _ = load_segmenter(expert, machine)
    segmenter = open_runtime(network, "torch", "exact", machine)
    frame = workspace.validation[0].read_image(0)
    seen = as_seen(frame, settings.height, machine.device)
    translated = as_seen(frame, workspace.experiment.translation.height or settings.height, machine.device)

    def pair() -> None:
        if translate is not None:
            translate(translated)
        segmenter.label_map(seen, (seen.shape[-2], seen.shape[-1]))

    with torch.inference_mode():
        times = time_calls(pair, machine.device, WARMUP, REPEATS)
    return 1000 / times.undisturbed_ms(machine.device)
