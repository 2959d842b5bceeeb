"""`sim2real segment`: stage two."""

from pathlib import Path

import click

from pipelines.commands.options import (
    experiment_options,
    first_seed,
    joined_machine,
    open_workspace,
    seed_option,
    training_options,
)
from pipelines.commands.segment_bench import segment_bench
from pipelines.commands.segment_evaluate import segment_evaluate
from pipelines.commands.segment_features import segment_features
from pipelines.commands.segment_predict import segment_predict
from pipelines.commands.segment_study import study
from pipelines.declared import names_in


@click.group()
def segment() -> None:
    """Stage two: train, evaluate and use a segmenter."""


@segment.command("train")
@experiment_options
@seed_option
@click.option(
    "--arm",
    type=click.Choice(names_in("pipelines.experiment.arms.ARMS")),
    default="translated",
    show_default=True,
    help="Which frames to learn from; few_labels: those of labelled_target.",
)
@training_options
def segment_train(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None, arm: str,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Train one arm's segmenter, or carry on where it stopped. Under torchrun, on several GPUs or machines."""
    from pipelines.stages.training.train_segmenter import train_segmenter

    workspace = open_workspace(config, data, run, overrides)
    with joined_machine(device, precision, threads) as machine:
        folder = train_segmenter(workspace, first_seed(workspace, seed), arm, machine, workers, restart)
        if machine.processes.leads:
            click.echo(f"segmenter in {folder}")


segment.add_command(segment_evaluate)
segment.add_command(segment_features)
segment.add_command(segment_bench)
segment.add_command(segment_predict)
segment.add_command(study)
