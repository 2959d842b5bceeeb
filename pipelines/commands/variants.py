"""`sim2real variants`: several ways of translating, compared under one budget."""

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
def variants(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seeds: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Which way of translating helps? Trains and evaluates every [[variant]] of an experiment, writes the table."""
    from pipelines.config import read_variants
    from pipelines.report.variants import markdown_table
    from pipelines.stages.compare_variants import Variants, compare_variants

    overrides = with_seeds(overrides, seeds)
    workspace = open_workspace(config, data, run, overrides)
    chosen = Variants(workspace, read_variants(config, overrides))
    machine = open_machine(device, precision, threads)
    click.echo(markdown_table(compare_variants(chosen, machine, workers, typed_command(), restart)))
    click.echo(f"table: {workspace.run / 'variants.md'}")
