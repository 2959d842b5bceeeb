"""`sim2real data`: look at data sets; draw toy world."""

from pathlib import Path

import click

from pipelines.commands.options import A_FOLDER, Request, on_experiment
from pipelines.errors import SomeInputsFailedError


@click.group()
def data() -> None:
    """Look at data sets; draw toy world."""


@data.command("check")
@on_experiment()
def data_check(request: Request) -> None:
    """Read every frame of an experiment and say what is there and what is wrong."""
    from pipelines.data.check import check_frame_set, format_report
    from pipelines.progress import Progress

    bad = 0
    for part in ("source", "target", "validation"):
        for frames in getattr(request.workspace, part):
            with Progress(f"check {frames.name}", len(frames), "frame") as progress:
                report = check_frame_set(frames, progress=progress.reach)
            click.echo(f"[{part}] {format_report(report)}\n")
            bad += not report.ok
    if bad:
        raise SomeInputsFailedError(f"sets with problems: {bad}; they are listed above")


@data.command("toyworld")
@click.option("--output", type=A_FOLDER, required=True, help="Folder for the data set.")
@click.option(
    "--renderer",
    type=click.Choice(("game", "camera")),
    required=True,
    help="game: CARLA's layout; camera: Cityscapes'.",
)
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--size",
    type=(click.IntRange(16), click.IntRange(16)),
    default=(256, 128),
    show_default=True,
    help="Width and height.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def data_toyworld(output: Path, renderer: str, frames: int, size: tuple[int, int], seed: int) -> None:
    """Draw a toy world data set to disk."""
    from pipelines.data.toyworld.write import draw_toy_world
    from pipelines.progress import Progress

    with Progress(f"draw {renderer}", frames, "frame") as progress:
        draw_toy_world(output, renderer, frames, size, seed, progress=progress.reach)
    click.echo(f"{frames} frames in {output}")
