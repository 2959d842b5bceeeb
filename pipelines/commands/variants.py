"""`sim2real variants`: several ways of translating, compared under one budget."""

import click

from pipelines.commands.options import seeds_option, test_option, training_options, training_preview_option
from pipelines.commands.rehearsal import say_what_would_be_trained
from pipelines.commands.request import Request, on_experiment
from pipelines.errors import NumericalError


@click.command()
@on_experiment(
    click.option(
        "--only", multiple=True, metavar="NAME", help="This variant alone; give it again for more.  [default: all]"
    ),
    test_option,
    seeds_option,
    training_options,
    training_preview_option,
)
def variants(request: Request, only: tuple[str, ...], dry_run: bool) -> None:
    """Which way of translating or adapting helps? Trains and evaluates every [[variant]], writes the tables.

    What is finished is used as it is. The same command on several machines with one disk shares the work. A training
    that collapses leaves its place in the tables empty; the others go on, and the exit code is 7 in the end.
    """
    from pipelines.experiment.config import read_variants
    from pipelines.experiment.variants import open_variants

    chosen = open_variants(request.workspace, read_variants(request.config, request.overrides), only)
    if dry_run:
        from pipelines.experiment.training_preview import trainings_of_variants

        return say_what_would_be_trained(request, trainings_of_variants(chosen))
    from pipelines.report.variant_tables import markdown_table
    from pipelines.stages.comparison.compare_variants import compare_variants, written

    study = compare_variants(chosen, request.session)
    click.echo(markdown_table(study))
    tables, page = (written(request.workspace, suffix) for suffix in ("md", "html"))
    click.echo(f"tables: {tables}, page: {page}")
    if study.stopped:
        names = "; ".join(study.stopped)
        raise NumericalError(f"no result for {names}, since training collapsed; {tables} says what to change")
