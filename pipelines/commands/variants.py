"""`sim2real variants`: several ways of translating, compared under one budget."""

import click

from pipelines.commands.options import Comparison, comparing, typed_command


@click.command()
@comparing
def variants(asked: Comparison) -> None:
    """Which way of translating helps? Trains and evaluates every [[variant]] of an experiment, writes the table."""
    from pipelines.experiment.config import read_variants
    from pipelines.report.variants import markdown_table
    from pipelines.stages.comparison.compare_variants import Variants, compare_variants

    chosen = Variants(asked.workspace, read_variants(asked.config, asked.overrides))
    study = compare_variants(chosen, asked.machine(), asked.workers, typed_command(), asked.restart)
    click.echo(markdown_table(study))
    click.echo(f"table: {asked.workspace.run / 'variants.md'}")
