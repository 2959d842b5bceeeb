"""A teacher, its frames, a student, its frames, both audited and held beside each other: one command.

What is trained and translated already with the same settings and frames is used as it is.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.data.disk.files import write_atomically
from pipelines.data.images import read_image, to_batch
from pipelines.data.selection.evenly import evenly
from pipelines.engine.checkpoint_files import is_finished
from pipelines.engine.session import Session
from pipelines.experiment.arms import ARMS
from pipelines.experiment.trained import finished_translator, load_translator
from pipelines.experiment.training_preview import refuse_missing, trainings_of_distillation
from pipelines.experiment.workspace import Workspace
from pipelines.report.pages.student_page import Beside, write_student_page
from pipelines.report.student import SPEED, Measure, StudentStudy, markdown_table
from pipelines.runtimes.acceleration import accelerated
from pipelines.stages.comparison.origin import origin
from pipelines.stages.comparison.real_to_sim import measure_real_to_sim, refuse_one_way
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
from pipelines.stages.quality.quality_inputs import QualityInputs, find_inputs
from pipelines.stages.quality.translated_pairs import load_expert
from pipelines.stages.quality.translation_audit import audit_translation
from pipelines.stages.quality.translation_quality import Figure, measure_quality
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.translating.translate_experiment import translate_experiment
from segment.complexity import count_parameters, time_calls
from translate.translator import ImageTranslator, Translator, translate_padded

MEASURED = 100
"""Frames of each side that quality is measured on."""
PICTURES = 6
"""Frames that are shown beside each other."""
WARMUP, REPEATS = 2, 5
"""Passes over one frame: not timed, and timed."""
PAGE = "student.html"


@dataclass(frozen=True)
class Wanted:
    """What is measured beyond the pictures."""

    sequence: bool = False
    """Frames are a video in name order: flicker."""
    segmenters: bool = False
    """Train stage two on the frames of each, and evaluate it."""
    real_to_sim: bool = False
    """Train a student of the way back, too, and evaluate the source-only network behind teacher and student."""


def distill(workspace: Workspace, seed: int, session: Session, wanted: Wanted = Wanted()) -> StudentStudy:
    """Train what is missing of teacher and student, translate by both, audit both, write the comparison.

    Args:
        workspace: An experiment with a [student].
        seed: Whose translator is the teacher.
        session: How to compute.
        wanted: What is measured.

    Returns:
        The record, which is `student.json`, `.md` and `.html` in `folder_of_study` too.

    Raises:
        UserError: The experiment has no [student], or one that names what is not there; or a translator of one way, and
            the way back is wanted.
    """
    its = workspace.student(seed)
    refuse_missing(trainings_of_distillation(workspace, seed, wanted.segmenters, wanted.real_to_sim))
    if wanted.real_to_sim:
        refuse_one_way(workspace)
    both = {"teacher": workspace, "student": its}
    for one in both.values():
        train_translator(one, seed, session)
        translate_experiment(one, seed, session)
    if wanted.segmenters:
        train_segmenter(workspace, seed, "oracle", session)
    run = _expert(its, seed)
    inputs = {name: find_inputs(one, seed, expert=run) for name, one in both.items()}
    expert = None if run is None else load_expert(run, session.machine)
    if expert is not None:
        for one in inputs.values():
            audit_translation(one, expert, session)
    scores: dict[str, float | None] = {}
    for name, one in both.items() if wanted.segmenters else ():
        run = train_segmenter(one, seed, "translated", session)
        scores[name] = evaluate_checkpoint(one, run, session).mean_iou()
    figures = {name: _figures(one, session, wanted.sequence) for name, one in inputs.items()}
    measures = [*_cost(both, seed, session), *_quality(figures)]
    if scores:
        measures.append(Measure("mIoU of stage two", "higher", scores))
    if wanted.real_to_sim:
        measures += measure_real_to_sim(workspace, seed, session)
    study = StudentStudy(
        **origin(workspace, session),
        settings=workspace.experiment.model_dump(mode="json"),
        seed=seed,
        frames=len(evenly(inputs["student"].frames, MEASURED)),
        expert="" if expert is None else expert.name,
        measures=measures,
    )
    folder = folder_of_study(workspace, seed)
    write_atomically(folder / "student.json", study.to_json().encode())
    write_atomically(folder / "student.md", markdown_table(study).encode())
    write_student_page(study, _pictures(inputs), folder / PAGE)
    return study


def folder_of_study(workspace: Workspace, seed: int) -> Path:
    """Where teacher and student of a seed are compared: beside that student, so that each seed keeps its page."""
    return workspace.student(seed).stage_one / f"seed-{seed}"


def _expert(its: Workspace, seed: int) -> Path | None:
    """Who looks at the frames: the oracle if it is trained, else the segmenter by which real patches were found."""
    settings = its.experiment.translator
    found = [its.segmenter(seed, "oracle")]
    if settings.finds_real_patches and settings.encoder in ARMS:
        found.append(its.segmenter(seed, settings.encoder))
    return next((run for run in found if is_finished(run)), None)


def _figures(inputs: QualityInputs, session: Session, sequence: bool) -> list[Figure]:
    frames = inputs.frames[:MEASURED] if sequence else evenly(inputs.frames, MEASURED)
    return measure_quality(
        frames, evenly(inputs.target_images(), MEASURED), session, inputs.networks(session), sequence
    )


def _quality(figures: dict[str, list[Figure]]) -> list[Measure]:
    """Rows of what both were measured by; the source's own figure is the same for both."""
    student = {figure.name: figure for figure in figures["student"]}
    return [
        Measure(
            figure.name,
            figure.better,
            {
                "source": figure.source,
                "teacher": figure.translated,
                "student": student[figure.name].translated,
            },
        )
        for figure in figures["teacher"]
        if figure.name in student
    ]


def _cost(both: dict[str, Workspace], seed: int, session: Session) -> list[Measure]:
    """Parameters, and frames a second of the network alone on the first source frame."""
    frame = both["teacher"].labelled_source[0].read_image(0)
    image = to_batch([frame], str(session.machine.device))
    parameters: dict[str, float | None] = {}
    speed: dict[str, float | None] = {}
    for name, workspace in both.items():
        translator, _ = load_translator(finished_translator(workspace, seed), session.machine)
        parameters[name] = count_parameters(translator.generator())
        speed[name] = _frames_per_second(translator, image)
    return [Measure("parameters", "", parameters), Measure(SPEED, "higher", speed)]


def _frames_per_second(translator: Translator, image: torch.Tensor) -> float | None:
    """Of a translator of images, in the exact mode; None for one of layouts, which is given something else."""
    if not isinstance(translator, ImageTranslator):
        return None
    generator = accelerated(translator.generator(), "exact")
    with torch.inference_mode():
        times = time_calls(lambda: translate_padded(generator, image), image.device, WARMUP, REPEATS)
    return 1000 / times.undisturbed_ms(image.device)


def _pictures(inputs: dict[str, QualityInputs]) -> list[Beside]:
    """Frames spread over the set that have a source."""
    student = {frame.name: frame for frame in inputs["student"].frames}
    known = [frame for frame in inputs["teacher"].frames if frame.name in student and frame.source is not None]
    return [
        Beside(frame.name, read_image(frame.source), read_image(frame.image), read_image(student[frame.name].image))
        for frame in evenly(known, PICTURES)
        if frame.source is not None
    ]
