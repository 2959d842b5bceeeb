"""What `--dry-run` of trainings says: the plan, which waits for nothing, of a single one what its first steps took."""

from collections.abc import Iterable

import click

from pipelines.commands.request import Request
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError


def say_what_would_be_trained(request: Request, trainings: Iterable[str], scored: bool = True) -> None:
    """Say what a command would do, which ends with that; the arguments are those of `preview`."""
    from pipelines.experiment.training_preview import LAST_LINE, preview

    click.echo("\n".join([*preview(request.workspace, trainings, scored), LAST_LINE]))


def rehearse(request: Request, arm: str | None = None) -> None:
    """Say what would be trained, an arm or (None) the translator, and take its first steps.

    Raises:
        UserError: It cannot be trained; or several processes were started.
    """
    from pipelines.experiment.training_preview import (
        LAST_LINE,
        preview,
        trainings_of_arm,
        trainings_of_translator,
    )

    if ProcessRank.of_environment().world_size > 1:
        raise UserError("--dry-run is for one process; start it without torchrun")
    workspace, seed = request.workspace, request.seed
    trainings = trainings_of_translator(workspace, seed) if arm is None else trainings_of_arm(workspace, seed, arm)
    click.echo("\n".join(preview(workspace, trainings, scored=False)))
    from pipelines.stages.training.first_steps import to_be_made_before, try_first_steps

    if missing := to_be_made_before(workspace, seed, arm):
        click.echo(f"{'first steps':<16}  not taken: {', '.join(missing)} must be made before\n{LAST_LINE}")
        return
    click.echo(f"{'first steps':<16}  {try_first_steps(workspace, seed, arm, request.session)}")
    click.echo(f"dry run: two steps were taken and thrown away; {workspace.run} is as it was")
