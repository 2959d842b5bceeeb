"""What `--dry-run` of a training says: the plan, which waits for nothing, and then what the first step took."""

import click

from pipelines.commands.options import Request
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError


def rehearse(request: Request, arm: str | None = None) -> None:
    """Say what would be trained, an arm or (None) the translator, and take its first step.

    Raises:
        UserError: It cannot be trained; or several processes were started.
    """
    from pipelines.experiment.training_preview import LAST_LINE, preview_training, preview_translator

    if ProcessRank.of_environment().world_size > 1:
        raise UserError("--dry-run is for one process; start it without torchrun")
    workspace, seed = request.workspace, request.seed
    lines = preview_translator(workspace, seed) if arm is None else preview_training(workspace, seed, arm)
    click.echo("\n".join(lines))
    from pipelines.stages.training.first_step import to_be_made_before, try_first_step

    if missing := to_be_made_before(workspace, seed, arm):
        click.echo(f"{'first step':<16}  not taken: {', '.join(missing)} must be made before\n{LAST_LINE}")
        return
    click.echo(f"{'first step':<16}  {try_first_step(workspace, seed, arm, request.session)}")
    click.echo(f"dry run: one step was taken and thrown away; {workspace.run} is as it was")
