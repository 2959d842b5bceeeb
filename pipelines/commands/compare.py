"""`sim2real compare`: the whole experiment, and how much of the gap it closed."""

import click

from pipelines.commands.options import seeds_option, training_options, training_preview_option
from pipelines.commands.rehearsal import say_what_would_be_trained
from pipelines.commands.request import Request, on_experiment


@click.command()
@on_experiment(seeds_option, training_options, training_preview_option)
def compare(request: Request, dry_run: bool) -> None:
    """How much of the gap does translation close? Trains and evaluates all three arms, writes the report."""
    if dry_run:
        from pipelines.experiment.training_preview import trainings_of_comparison

        return say_what_would_be_trained(request, trainings_of_comparison(request.workspace))
    from pipelines.report.tables import format_table
    from pipelines.stages.comparison.compare import compare as run_comparison

    study = run_comparison(request.workspace, request.session)
    click.echo(format_table(study))
    click.echo(f"report: {request.workspace.run / 'report.html'}")
