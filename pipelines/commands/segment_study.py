"""`sim2real segment study`: networks compared, by what they cost and what they reach."""

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
def study(
    config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seeds: int | None,
    device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Which network? Trains those of the config's [study] on real, source and augmented source frames; a table."""
    from pipelines.config import read_study
    from pipelines.report.networks import networks_table
    from pipelines.stages.study_networks import study_networks

    overrides = with_seeds(overrides, seeds)
    _, augmented = read_study(config, overrides)
    workspace = open_workspace(config, data, run, overrides)
    machine = open_machine(device, precision, threads)
    click.echo(networks_table(study_networks(workspace, augmented, machine, workers, typed_command(), restart)))
    click.echo(f"table: {workspace.run / 'networks.md'}")
