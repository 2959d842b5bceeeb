"""`sim2real config`: look at experiment configs."""

from pathlib import Path

import click

from pipelines.commands.options import A_PATH, seed_option
from pipelines.commands.request import Request, on_experiment


@click.group()
def config() -> None:
    """Look at experiment configs."""


@config.command("show")
@click.argument("config", type=A_PATH)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting.")
def config_show(config: Path, overrides: tuple[str, ...]) -> None:
    """Print every setting of an experiment, defaults included, as JSON."""
    from pipelines.experiment.config import read_experiment

    click.echo(read_experiment(config, overrides).model_dump_json(indent=2))


@config.command("inputs")
@on_experiment(seed_option)
def config_inputs(request: Request) -> None:
    """Write what each stage depends on to RUN/inputs, touching only files whose content changes (for make)."""
    from pipelines.stages.comparison.inputs import write_inputs

    write_inputs(request.workspace, request.seed)
