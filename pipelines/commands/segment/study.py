"""`sim2real segment study`: networks compared, by what they cost and what they reach."""

import click

from pipelines.commands.options import seeds_option, training_options, training_preview_option
from pipelines.commands.rehearsal import say_what_would_be_trained
from pipelines.commands.request import Request, on_experiment


@click.command()
@on_experiment(seeds_option, training_options, training_preview_option)
def study(request: Request, dry_run: bool) -> None:
    """Which network? Trains those of the config's [study] on real, source and augmented source frames; a table."""
    from pipelines.experiment.config import read_study

    _, augmented = read_study(request.config, request.overrides)
    if dry_run:
        from pipelines.experiment.training_preview import trainings_of_study

        return say_what_would_be_trained(request, trainings_of_study(request.workspace, augmented))
    from pipelines.report.networks import networks_table
    from pipelines.stages.comparison.study_networks import study_networks

    record = study_networks(request.workspace, augmented, request.session)
    click.echo(networks_table(record))
    click.echo(f"table: {request.workspace.run / 'networks.md'}; picture: {request.workspace.run / 'networks.svg'}")
