"""`sim2real variants`: several ways of translating, compared under one budget."""

import click

from pipelines.commands.options import Asked, on_experiment, seeds_option, training_options


@click.command()
@on_experiment(seeds_option, training_options)
def variants(asked: Asked) -> None:
    """Which way of translating helps? Trains and evaluates every [[variant]] of an experiment, writes the table."""
    from pipelines.experiment.config import read_variants
    from pipelines.experiment.variants import open_variants
    from pipelines.report.variants import markdown_table
    from pipelines.stages.comparison.compare_variants import compare_variants

    chosen = open_variants(asked.workspace, read_variants(asked.config, asked.overrides))
    study = compare_variants(chosen, asked.session)
    click.echo(markdown_table(study))
    click.echo(f"table: {asked.workspace.run / 'variants.md'}")
