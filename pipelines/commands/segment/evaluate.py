"""`sim2real segment evaluate`: a segmenter, predictions from elsewhere, or two of either against each other."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.machine import typed_command
from pipelines.commands.options import (
    A_FOLDER,
    A_PATH,
    Numbers,
    gathered,
    machine_options,
    refuse_odd_weights,
    several_checkpoints,
    test_option,
)
from pipelines.commands.request import Request, on_experiment
from pipelines.data.disk.files import refuse_unwritable_folder
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.engine.launch import Machine
    from pipelines.runtimes.frame_prediction import Inference
    from pipelines.stages.evaluation.evaluate import EvaluationOptions
    from pipelines.stages.evaluation.evaluation_counts import Measures
    from pipelines.stages.evaluation.scores import Evaluation

LARGEST_SCALE = 4
"""Sixteen times the pixels; what is meant by more is a percentage."""


class Sides(click.ParamType):
    """WIDTHxHEIGHT, or one number for a square."""

    name = "WIDTHxHEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """(height, width)."""
        if isinstance(value, tuple):
            return value
        width, cross, height = value.partition("x")
        height = height if cross else width
        if not (width.isdecimal() and height.isdecimal() and min(int(width), int(height)) >= 1):
            self.fail(f"{value!r} is no size; expected WIDTHxHEIGHT, such as 512x512", param, ctx)
        return int(height), int(width)


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and what else is made of it."""

    checkpoints: tuple[Path, ...]
    weights: tuple[float, ...] | None
    predictions: Path | None
    predicted: Any
    compare: tuple[Path, Path] | None
    submission: Path | None
    through: Path | None
    direction: Any
    workers: int | None

    def __post_init__(self) -> None:
        if sum(bool(one) for one in (self.checkpoints, self.predictions, self.compare)) != 1:
            raise UserError("expected one of --checkpoint, --predictions and --compare: what to evaluate")
        refuse_odd_weights(self.checkpoints, self.weights)
        for option, value in (("--submission", self.submission), ("--through", self.through)):
            if value is not None and not self.checkpoints:
                raise UserError(f"{option} needs --checkpoint: a network to predict with")
        for option, value in (("--predicted", self.predicted), ("--workers", self.workers)):
            if value is not None and self.predictions is None:
                raise UserError(f"{option} {value} needs --predictions; leave it out")
        if self.direction is not None and self.through is None:
            raise UserError(f"--direction {self.direction} needs --through: a translator's run folder; or leave it out")
        if self.submission is not None and self.through is not None:
            raise UserError(
                "--submission and --through contradict each other: submit predictions of frames as they are"
            )
        if self.through is not None and len(self.checkpoints) > 1:
            raise UserError("--through takes one --checkpoint, and there are several; evaluate each through it")


subject_options = gathered(
    "subject",
    Subject,
    *several_checkpoints(required=False),
    click.option("--predictions", type=A_FOLDER, default=None, help="Instead: a folder of predicted label maps, PNG."),
    click.option(
        "--predicted",
        type=click.Choice(("train_ids", "label_ids")),
        default=None,
        help="What --predictions hold.  [default: train_ids]",
    ),
    click.option(
        "--compare",
        type=A_PATH,
        nargs=2,
        default=None,
        metavar="A B",
        help="Instead: A minus B, each the folder of an evaluation, or a checkpoint to evaluate first.",
    ),
    click.option(
        "--submission", type=A_FOLDER, default=None, help="Write all predictions here as Cityscapes wants them."
    ),
    click.option(
        "--through",
        type=A_PATH,
        default=None,
        help="Also after translating the frames with this translator's run folder.",
    ),
    click.option(
        "--direction",
        type=click.Choice(("source_to_target", "target_to_source")),
        default=None,
        help="Of --through.  [default: target_to_source]",
    ),
    click.option(
        "--workers",
        type=click.IntRange(0),
        default=None,
        help="Processes that count --predictions.  [default: 2]",
    ),
)


@dataclass(frozen=True)
class InferenceOptions:
    """What computes, and the test-time augmentation, as typed; see `frame_prediction.Inference`."""

    runtime: Any
    fast: bool
    flip: bool
    scales: tuple[float, ...]
    window: tuple[int, int] | None
    stride: tuple[int, int] | None

    def __post_init__(self) -> None:
        if self.stride is not None and self.window is None:
            raise UserError("--stride needs --window")
        if max(self.scales) > LARGEST_SCALE:
            raise UserError(f"--scales {max(self.scales):g} is out of bounds; {LARGEST_SCALE} is the largest")

    @property
    def differing(self) -> list[str]:
        """The options that differ from one exact pass by torch over the whole frame."""
        values = {
            "--runtime": self.runtime is not None,
            "--fast": self.fast,
            "--flip": self.flip,
            "--scales": self.scales != (1.0,),
            "--window": self.window is not None,
        }
        return [option for option, differs in values.items() if differs]

    def inference(self, machine: "Machine") -> "Inference":
        """How the network is run on a machine. --fast alone takes the fastest runtime that is there."""
        from pipelines.runtimes.frame_prediction import Inference, TestTimeAugmentation
        from pipelines.runtimes.segmenter_runtime import fastest_runtime, mode_on

        runtime = fastest_runtime(machine) if self.fast and self.runtime is None else self.runtime
        augmentation = TestTimeAugmentation(self.flip, self.scales, self.window, self.stride)
        mode = "exact" if runtime is None else mode_on(machine, self.fast)
        return Inference(runtime, mode, augmentation)


inference_options = gathered(
    "chosen",
    InferenceOptions,
    click.option(
        "--runtime",
        type=click.Choice(("torch", "compile", "onnxruntime", "openvino")),
        default=None,
        help="What computes, sooner, the same but for rounding.  [default: torch, to the bit as ever]",
    ),
    click.option("--fast", is_flag=True, help="By the fastest runtime, in the precision that is fastest here."),
    click.option("--flip", is_flag=True, help="Look at the mirror image, too, and average."),
    click.option(
        "--scales",
        type=Numbers("SCALE,SCALE,…", "scales", "0.75,1,1.25"),
        default="1",
        show_default=True,
        help="Average over these sizes.",
    ),
    click.option("--window", type=Sides(), default=None, help="Slide a window over the frame as the network sees it."),
    click.option("--stride", type=Sides(), default=None, help="Of --window.  [default: two thirds of it]"),
)


@dataclass(frozen=True)
class Report:
    """What is measured beside the confusion matrix, and where it all goes."""

    boundary: bool
    calibration: bool
    output: Path | None

    @property
    def more(self) -> list[str]:
        """The options that measure more than the confusion matrix."""
        return [option for option, on in (("--boundary", self.boundary), ("--calibration", self.calibration)) if on]

    def measures(self) -> "Measures":
        """What is measured."""
        from pipelines.stages.evaluation.evaluation_counts import Measures

        return Measures(self.boundary, self.calibration)


report_options = gathered(
    "report",
    Report,
    click.option("--boundary", is_flag=True, help="Boundary IoU, too."),
    click.option("--calibration", is_flag=True, help="How far confidence can be believed, too."),
    click.option(
        "--output",
        type=A_FOLDER,
        default=None,
        help="A folder.  [default: of --checkpoint one in its run folder; of --predictions, whose folder NAME is left "
        "as it is, RUN/evaluation/NAME; of --compare none]",
    ),
)


@click.command("evaluate")
@on_experiment(subject_options, inference_options, report_options, test_option, machine_options)
def segment_evaluate(request: Request, subject: Subject, chosen: InferenceOptions, report: Report) -> None:
    """Evaluate a segmenter on an experiment's validation frames, as they are or also through a translator.

    Writes evaluation.json, confusions.json, frames.csv, evaluation.html and the predictions.
    """
    if subject.predictions is not None:
        if report.calibration:
            raise UserError("--calibration needs --checkpoint: --predictions hold no probabilities")
        if chosen.differing:
            raise UserError(
                "--runtime, --fast, --flip, --scales and --window are ways to use a network; --predictions are "
                "there already"
            )
        _of_predictions(request, subject, report)
    elif subject.compare is not None:
        _compared(request, subject.compare, chosen, report)
    elif subject.through is not None:
        _through(request, subject, chosen, report)
    else:
        _of_checkpoints(request, subject, chosen, report)


def _of_checkpoints(request: Request, subject: Subject, chosen: InferenceOptions, report: Report) -> None:
    from pipelines.experiment.trained import load_ensemble
    from pipelines.stages.evaluation.evaluate import evaluate_segmenter, evaluation_folder
    from pipelines.stages.evaluation.evaluation_table import format_summary
    from pipelines.stages.evaluation.submission import refuse_other_names, submit_segmenter

    workspace, checkpoints, submission = request.workspace, subject.checkpoints, subject.submission
    if len(checkpoints) > 1 and report.output is None:
        raise UserError("--output: say where to keep the evaluation of several checkpoints, which is in no run folder")
    if submission is not None:
        refuse_unwritable_folder(submission)
    session = request.session
    options = _options(request, chosen, report)
    if submission is not None:
        refuse_other_names(workspace.validation)
    folder = evaluation_folder(checkpoints[0], options, workspace)
    trained = load_ensemble(checkpoints, session.machine, subject.weights)
    labelled = any(frames.shows_a_class() for frames in workspace.validation)
    of_figures = [*report.more, *(["--output"] if report.output is not None and len(checkpoints) == 1 else [])]
    if submission is not None and not labelled and of_figures:
        raise UserError(
            f"{' and '.join(of_figures)}: these frames have no labels to be scored by, and are only submitted; leave "
            "it out"
        )
    if labelled or submission is None:
        evaluation = evaluate_segmenter(workspace, trained, session, options)
        request.say(format_summary(evaluation))
        _page(
            request,
            evaluation,
            folder,
            " + ".join(map(str, checkpoints)),
            _facts_of_network(session.machine, options.inference),
        )
    if submission is not None:
        evaluated = folder if labelled else None
        count = submit_segmenter(workspace.validation, trained, evaluated, submission, session, options.inference)
        request.say(f"{count} files in {submission}")


def _through(request: Request, subject: Subject, chosen: InferenceOptions, report: Report) -> None:
    from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
    from pipelines.stages.evaluation.evaluate_through import evaluate_through, format_both

    workspace, session, options = request.workspace, request.session, _options(request, chosen, report)
    (checkpoint,) = subject.checkpoints
    direction = subject.direction or "target_to_source"
    translated = evaluate_through(workspace, checkpoint, subject.through, direction, session, options)
    untranslated = evaluate_checkpoint(workspace, checkpoint, session, replace(options, output=None))
    request.say(format_both(untranslated, translated))


def _of_predictions(request: Request, subject: Subject, report: Report) -> None:
    from pipelines.stages.evaluation.evaluate_predictions import evaluate_predictions, folder_of_predictions
    from pipelines.stages.evaluation.evaluation_table import format_summary

    predictions = subject.predictions
    folder = report.output or folder_of_predictions(request.workspace, predictions)
    evaluation = evaluate_predictions(
        request.workspace.validation,
        predictions,
        subject.predicted or "train_ids",
        folder,
        2 if subject.workers is None else subject.workers,
        report.measures(),
        request.processes,
    )
    request.say(format_summary(evaluation))
    _page(request, evaluation, folder, str(predictions), [])


def _compared(request: Request, compare: tuple[Path, Path], chosen: InferenceOptions, report: Report) -> None:
    from pipelines.stages.evaluation.compare_evaluations import (
        compare_evaluations,
        format_comparison,
        open_evaluation,
        write_comparison,
    )
    from pipelines.stages.evaluation.evaluate import evaluate_checkpoint

    unheard = [*chosen.differing, *report.more]
    stored = [path for path in compare if (path / "evaluation.json").exists()]
    if len(stored) == len(compare) and request.workspace.part == "test":
        unheard.append("--test")
    if stored and unheard:
        raise UserError(
            f"{' and '.join(unheard)}: --compare {stored[0]} is an evaluation that is made already; name its "
            "checkpoint instead, or leave them out"
        )
    if report.output is not None:
        refuse_unwritable_folder(report.output)
    options = replace(_options(request, chosen, report), output=None)

    def evaluated(path: Path) -> "Evaluation":
        return evaluate_checkpoint(request.workspace, path, request.session, options)

    first, second = (open_evaluation(path, evaluated) for path in compare)
    comparison = compare_evaluations((str(compare[0]), str(compare[1])), first, second)
    request.say(format_comparison(comparison))
    if report.output is not None and request.processes.leads:
        write_comparison(comparison, report.output)


def _options(request: Request, chosen: InferenceOptions, report: Report) -> "EvaluationOptions":
    from pipelines.stages.evaluation.evaluate import EvaluationOptions

    return EvaluationOptions(chosen.inference(request.session.machine), report.measures(), report.output)


def _facts_of_network(machine: "Machine", inference: "Inference") -> list[tuple[str, str]]:
    from pipelines.engine.launch import describe_machine

    computed = "torch, exact" if inference.runtime is None else f"{inference.runtime}, {inference.mode}"
    augmentation = inference.augmentation.name or "none"
    return [("Machine", describe_machine(machine)), ("Computed by", computed), ("Test-time augmentation", augmentation)]


def _page(request: Request, evaluation: "Evaluation", folder: Path, subject: str, facts: list[tuple[str, str]]) -> None:
    from datetime import date

    from pipelines.report.record import unusable_in_words
    from pipelines.stages.evaluation.evaluation_report import report_evaluation

    if not request.processes.leads:
        return
    facts = [("Command", typed_command()), ("Date", date.today().isoformat()), *facts]
    if unusable := request.workspace.sets.unusable:
        facts.append(("Left out", unusable_in_words(unusable)))
    sets = ", ".join(frames.name for frames in request.workspace.validation)
    click.echo(f"figures and page in {report_evaluation(evaluation, folder, subject, sets, facts).parent}")
