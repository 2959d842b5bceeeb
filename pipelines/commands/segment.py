"""`sim2real segment`: stage two."""

from pathlib import Path

import click

from pipelines.commands.options import (
    A_FOLDER,
    A_PATH,
    checkpoint_option,
    experiment_options,
    first_seed,
    machine_options,
    open_machine,
    open_workspace,
    seed_option,
    training_options,
)
from pipelines.commands.segment_study import study
from pipelines.errors import SomeInputsFailedError


@click.group()
def segment() -> None:
    """Stage two: train, evaluate and use a segmenter."""


@segment.command("train")
@experiment_options
@seed_option
@click.option(
    "--arm",
    type=click.Choice(("source_only", "translated", "oracle", "few_labels")),
    default="translated",
    show_default=True,
    help="Which frames to learn from; few_labels: those of labelled_target.",
)
@training_options
def segment_train(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None, arm: str,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Train one arm's segmenter, or carry on where it stopped."""
    from pipelines.stages.train_segmenter import train_segmenter

    workspace = open_workspace(config, data, run, overrides)
    machine = open_machine(device, precision, threads)
    click.echo(
        f"segmenter in {train_segmenter(workspace, first_seed(workspace, seed), arm, machine, workers, restart)}"
    )


@segment.command("evaluate")
@experiment_options
@checkpoint_option
@click.option("--output", type=A_FOLDER, default=None, help="[default: an evaluation folder beside the checkpoint]")
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
@machine_options
def segment_evaluate(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], checkpoint: Path, output: Path | None,
    through: Path | None, direction: str, device: str, precision: str, threads: int | None,
) -> None:  # fmt: skip
    """Evaluate a segmenter on an experiment's validation frames, as they are or also through a translator."""
    from pipelines.stages.evaluate import evaluate_checkpoint, format_summary
    from pipelines.stages.evaluate_through import evaluate_through, format_both

    workspace = open_workspace(config, data, run, overrides)
    machine = open_machine(device, precision, threads)
    if through is None:
        click.echo(format_summary(evaluate_checkpoint(workspace, checkpoint, output, machine)))
        return
    translated = evaluate_through(workspace, checkpoint, through, direction, output, machine)
    click.echo(format_both(evaluate_checkpoint(workspace, checkpoint, None, machine), translated))


@segment.command("predict")
@checkpoint_option
@click.option("--input", "source", type=A_FOLDER, required=True, help="Any folder tree of images.")
@click.option("--output", type=A_FOLDER, required=True, help="Gets labels/ and overlays/.")
@click.option("--overlays/--no-overlays", default=True, show_default=True, help="Also write pictures for people.")
@machine_options
def segment_predict(
    checkpoint: Path, source: Path, output: Path, overlays: bool, device: str, precision: str, threads: int | None
) -> None:
    """Write a label map (train ids) and an overlay for every image of a folder tree."""
    from pipelines.stages.evaluate import predictor
    from pipelines.stages.predict_frames import predict_folder
    from pipelines.stages.train_segmenter import load_segmenter

    machine = open_machine(device, precision, threads)
    network, settings, _ = load_segmenter(checkpoint, machine)
    summary = predict_folder(predictor(network, settings.height, machine), source, output, overlays)
    click.echo(
        f"{summary.predicted + len(summary.failed)} images in, {summary.predicted} label maps out in {output}/labels"
    )
    if summary.failed:
        for _, reason in summary.failed:
            click.echo(reason, err=True)
        raise SomeInputsFailedError(f"images that could not be read: {len(summary.failed)}; they are listed above")


segment.add_command(study)
