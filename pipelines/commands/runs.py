"""`sim2real runs`: what was trained, how far it came and what it reached."""

from pathlib import Path

import click

from pipelines.commands.options import A_PATH


@click.group()
def runs() -> None:
    """List and show run folders."""


@runs.command("list")
@click.argument("root", type=A_PATH, default=Path("runs"))
@click.option("--json", "for_programs", is_flag=True, help="A JSON object a line instead of a table.")
def runs_list(root: Path, for_programs: bool) -> None:
    """List every run folder in ROOT and below it, the latest first.  [default: runs]"""
    from pipelines.stages.inspection.run_list import as_json, find_runs, table

    found = find_runs(root)
    click.echo(as_json(found) if for_programs else table(found))


@runs.command("show")
@click.argument("run", type=A_PATH)
def runs_show(run: Path) -> None:
    """Show one RUN folder: state, machine, frames, checkpoints (hashed again), last losses, score."""
    from pipelines.stages.inspection.run_list import describe

    for line in describe(run):
        click.echo(line)
