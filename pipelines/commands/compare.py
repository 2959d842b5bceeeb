"""`sim2real compare`: the whole experiment, and how much of the gap it closed."""

from pathlib import Path

import click

from pipelines.commands.options import (
    experiment_options,
    open_machine,
    open_workspace,
    training_options,
    typed_command,
)


@click.command()
@experiment_options
@click.option("--seeds", type=click.IntRange(1), default=None, help="Use seeds 0 to N-1 instead of the config's.")
@training_options
def compare(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seeds: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """How much of the gap does translation close? Trains and evaluates all three arms, writes the report."""
    from pipelines.report.tables import format_table
    from pipelines.stages.compare import compare as run_comparison

    if seeds is not None:
        overrides = (*overrides, f"compare.seeds={list(range(seeds))}")
    workspace = open_workspace(config, data, run, overrides)
    study = run_comparison(workspace, open_machine(device, precision, threads), workers, typed_command(), restart)
    click.echo(format_table(study))
    click.echo(f"report: {workspace.run / 'report.html'}")
