"""`sim2real translate`: stage one."""

from pathlib import Path

import click

from pipelines.commands.options import (
    experiment_options,
    finish_translation,
    first_seed,
    open_machine,
    open_workspace,
    seed_option,
    training_options,
)
from pipelines.commands.quality import translate_audit, translate_quality
from pipelines.commands.translate_run import translate_run


@click.group()
def translate() -> None:
    """Stage one: train a translator; translate folders of images."""


@translate.command("train")
@experiment_options
@seed_option
@training_options
def translate_train(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Train an experiment's translator, or carry on where it stopped."""
    from pipelines.stages.training.train_translator import train_translator

    workspace = open_workspace(config, data, run, overrides)
    path = train_translator(
        workspace, first_seed(workspace, seed), open_machine(device, precision, threads), workers, restart
    )
    click.echo(f"translator in {path}")


@translate.command("experiment")
@experiment_options
@seed_option
@training_options
def translate_experiment_command(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Translate an experiment's labelled source frames with its trained translator."""
    from pipelines.stages.translating.translate_experiment import translate_experiment

    workspace = open_workspace(config, data, run, overrides)
    seed = first_seed(workspace, seed)
    summary = translate_experiment(workspace, seed, open_machine(device, precision, threads), workers, restart)
    finish_translation(summary, workspace.translated(seed))


for command in (translate_run, translate_audit, translate_quality):
    translate.add_command(command)
