"""`sim2real compare`: the whole experiment, and how much of the gap it closed."""

from pathlib import Path

import click

from pipelines.commands.options import (
    experiment_options,
    open_machine,
    open_workspace,
    seeds_option,
    training_options,
    typed_command,
    with_seeds,
)


@click.command()
@experiment_options
@seeds_option
@training_options
def compare(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seeds: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """How much of the gap does translation close? Trains and evaluates all three arms, writes the report."""
    from pipelines.report.tables import format_table
    from pipelines.stages.compare import compare as run_comparison

    workspace = open_workspace(config, data, run, with_seeds(overrides, seeds))
    study = run_comparison(workspace, open_machine(device, precision, threads), workers, typed_command(), restart)
    click.echo(format_table(study))
    click.echo(f"report: {workspace.run / 'report.html'}")
