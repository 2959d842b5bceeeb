"""`sim2real segment evaluate`: a segmenter, predictions from elsewhere, or two of either against each other."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipelines.commands.options import (
    A_FOLDER,
    A_PATH,
    experiment_options,
    machine_options,
    open_machine,
    open_workspace,
    options,
    typed_command,
)
from pipelines.errors import UserError

LARGEST_SCALE = 4
"""Sixteen times the pixels; what is meant by more is a percentage."""


class Scales(click.ParamType):
    """Numbers above 0, set apart by commas."""

    name = "SCALE,SCALE,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The factors."""
        if isinstance(value, tuple):
            return value
        try:
            scales = tuple(float(part) for part in value.split(","))
        except ValueError:
            scales = ()
        if not scales or not all(0 < scale < float("inf") for scale in scales):
            self.fail(f"{value!r} are no scales; expected numbers above 0, such as 0.75,1,1.25", param, ctx)
        return scales


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


subject_options = options(
    click.option("--checkpoint", type=A_PATH, default=None, help="A run folder, or a checkpoints/step-N."),
    click.option("--predictions", type=A_FOLDER, default=None, help="Instead: a folder of predicted label maps, PNG."),
    click.option(
        "--predicted",
        type=click.Choice(("train_ids", "label_ids")),
        default="train_ids",
        show_default=True,
        help="What --predictions hold.",
    ),
    click.option(
        "--compare",
        type=A_PATH,
        nargs=2,
        default=None,
        metavar="A B",
        help="Instead: A minus B, each the folder of an evaluation, or a checkpoint to evaluate first.",
    ),
)
looks_options = options(
    click.option("--flip", is_flag=True, help="Look at the mirror image, too, and average."),
    click.option("--scales", type=Scales(), default="1", show_default=True, help="Average over these sizes."),
    click.option("--window", type=Sides(), default=None, help="Slide a window over the frame as the network sees it."),
    click.option("--stride", type=Sides(), default=None, help="Of --window.  [default: two thirds of it]"),
)
measures_options = options(
    click.option("--boundary", is_flag=True, help="Boundary IoU, too."),
    click.option("--calibration", is_flag=True, help="How far confidence can be believed, too."),
)


@click.command("evaluate")
@experiment_options
@subject_options
@click.option("--output", type=A_FOLDER, default=None, help="[default: an evaluation folder beside the subject]")
@looks_options
@measures_options
@click.option(
    "--submission",
    type=A_FOLDER,
    default=None,
    help="Write all predictions here as Cityscapes wants them.",
)
@click.option(
    "--through", type=A_PATH, default=None, help="Also after translating the frames with this translator's run folder."
)
@click.option(
    "--direction",
    type=click.Choice(("source_to_target", "target_to_source")),
    default="target_to_source",
    show_default=True,
    help="Of --through.",
)
@click.option(
    "--workers", type=click.IntRange(0), default=2, show_default=True, help="Processes that count --predictions."
)
@machine_options
def segment_evaluate(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], checkpoint: Path | None,
    predictions: Path | None, predicted: str, compare: tuple[Path, Path] | None, output: Path | None, flip: bool,
    scales: tuple[float, ...], window: tuple[int, int] | None, stride: tuple[int, int] | None, boundary: bool,
    calibration: bool, submission: Path | None, through: Path | None, direction: str, workers: int, device: str,
    precision: str, threads: int | None,
) -> None:  # fmt: skip
    """Evaluate a segmenter on an experiment's validation frames, as they are or also through a translator.

    Writes evaluation.json, confusions.json, frames.csv, evaluation.html and the predictions.
    """
    _refuse_contradictions(checkpoint, predictions, compare, submission, through, calibration, window, stride)
    if max(scales) > LARGEST_SCALE:
        raise UserError(f"--scales {max(scales):g} is out of bounds; {LARGEST_SCALE} is the largest")
    of_looks = flip or scales != (1.0,) or window is not None
    if predictions is not None and of_looks:
        raise UserError("--flip, --scales and --window are ways to use a network; --predictions are there already")
    workspace = open_workspace(config, data, run, overrides)

    from pipelines.stages.evaluation.evaluate import Looks, Measures

    looks, measures = Looks(flip, scales, window, stride), Measures(boundary, calibration)
    if predictions is not None:
        _of_predictions(workspace, predictions, predicted, output, workers, measures)
        return
    machine = open_machine(device, precision, threads)
    if compare is not None:
        _compared(workspace, compare, output, machine, looks, measures)
    elif checkpoint is not None and through is not None:
        _through(workspace, checkpoint, through, direction, output, machine, looks, measures)
    elif checkpoint is not None:
        _of_checkpoint(workspace, checkpoint, output, submission, machine, looks, measures)


def _refuse_contradictions(
    checkpoint: Path | None, predictions: Path | None, compare: tuple[Path, Path] | None, submission: Path | None,
    through: Path | None, calibration: bool, window: tuple[int, int] | None, stride: tuple[int, int] | None,
) -> None:  # fmt: skip
    """Before anything is opened."""
    if sum(one is not None for one in (checkpoint, predictions, compare)) != 1:
        raise UserError("expected one of --checkpoint, --predictions and --compare: what to evaluate")
    for option, value in (("--submission", submission), ("--through", through)):
        if value is not None and checkpoint is None:
            raise UserError(f"{option} needs --checkpoint: a network to predict with")
    if submission is not None and through is not None:
        raise UserError("--submission and --through contradict each other: submit predictions of frames as they are")
    if calibration and predictions is not None:
        raise UserError("--calibration needs --checkpoint: --predictions hold no probabilities")
    if stride is not None and window is None:
        raise UserError("--stride needs --window")


def _of_checkpoint(
    workspace: Any, checkpoint: Path, output: Path | None, submission: Path | None, machine: Any, looks: Any,
    measures: Any,
) -> None:  # fmt: skip
    from pipelines.stages.evaluation.evaluate import evaluate_checkpoint, evaluation_place
    from pipelines.stages.evaluation.evaluation_table import format_summary
    from pipelines.stages.evaluation.submission import refuse_other_names, submit_checkpoint

    if submission is not None:
        refuse_other_names(workspace.validation)
    folder = evaluation_place(checkpoint, output, looks)
    labelled = any(frame.label is not None for frames in workspace.validation for frame in frames.frames)
    if labelled or submission is None:
        evaluation = evaluate_checkpoint(workspace, checkpoint, folder, machine, looks, measures)
        click.echo(format_summary(evaluation))
        _page(workspace, evaluation, folder, str(checkpoint), machine, looks)
    if submission is not None:
        evaluated = folder if labelled else None
        count = submit_checkpoint(workspace.validation, checkpoint, evaluated, submission, machine, looks)
        click.echo(f"{count} files in {submission}")


def _through(
    workspace: Any, checkpoint: Path, translator: Path, direction: Any, output: Path | None, machine: Any, looks: Any,
    measures: Any,
) -> None:  # fmt: skip
    from pipelines.stages.evaluation.evaluate import evaluate_checkpoint
    from pipelines.stages.evaluation.evaluate_through import evaluate_through, format_both

    translated = evaluate_through(workspace, checkpoint, translator, direction, output, machine, looks, measures)
    click.echo(format_both(evaluate_checkpoint(workspace, checkpoint, None, machine, looks, measures), translated))


def _of_predictions(
    workspace: Any, predictions: Path, predicted: Any, output: Path | None, workers: int, measures: Any
) -> None:
    from pipelines.stages.evaluation.evaluate_predictions import evaluate_predictions
    from pipelines.stages.evaluation.evaluation_table import format_summary

    folder = output or predictions / "evaluation"
    evaluation = evaluate_predictions(workspace.validation, predictions, predicted, folder, workers, measures)
    click.echo(format_summary(evaluation))
    _page(workspace, evaluation, folder, str(predictions), None, None)


def _compared(
    workspace: Any, compare: tuple[Path, Path], output: Path | None, machine: Any, looks: Any, measures: Any
) -> None:
    from pipelines.stages.evaluation.compare_evaluations import (
        compare_evaluations,
        format_comparison,
        open_evaluation,
        write_comparison,
    )
    from pipelines.stages.evaluation.evaluate import evaluate_checkpoint

    evaluated: Callable[[Path], Any] = functools.partial(
        evaluate_checkpoint, workspace, output=None, machine=machine, looks=looks, measures=measures
    )
    first, second = (open_evaluation(path, evaluated) for path in compare)
    comparison = compare_evaluations((str(compare[0]), str(compare[1])), first, second)
    click.echo(format_comparison(comparison))
    if output is not None:
        write_comparison(comparison, output)


def _page(workspace: Any, evaluation: Any, folder: Path, subject: str, machine: Any, looks: Any) -> None:
    from datetime import date

    from pipelines.engine.launch import describe_machine
    from pipelines.stages.evaluation.evaluation_report import report_evaluation

    facts = [("Command", typed_command()), ("Date", date.today().isoformat())]
    if machine is not None:
        facts.append(("Machine", describe_machine(machine)))
        facts.append(("Looks at a frame", looks.name or "one"))
    sets = ", ".join(frames.name for frames in workspace.validation)
    click.echo(f"figures and page in {report_evaluation(evaluation, folder, subject, sets, facts).parent}")
