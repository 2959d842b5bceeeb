"""`sim2real data`: look at data sets; draw toy world."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.commands.options import A_FOLDER
from pipelines.commands.request import Request, on_experiment
from pipelines.errors import SomeInputsFailedError, UserError
from pipelines.printable import printable

if TYPE_CHECKING:
    from pipelines.data.frames import AnyFrameSetSettings, FrameSet
    from pipelines.experiment.workspace import Workspace


@click.group()
def data() -> None:
    """Look at data sets; draw toy world."""


@data.command("check")
@on_experiment()
def data_check(request: Request) -> None:
    """Read every frame of an experiment and say what is there and what is wrong."""
    from pipelines.data.check import check_frame_set, format_report
    from pipelines.progress import Progress
    from segment.class_groups import class_titles

    bad, workspace = 0, request.workspace.by_name
    parts = _found(workspace)
    for part, sets in parts.items():
        for name, frames in sets:
            if isinstance(frames, UserError):
                click.echo(printable(f"[{part}] {name}: NOT OK\n  {frames}\n"))
                bad += 1
                continue
            with Progress(f"check {frames.name}", len(frames), "frame") as progress:
                report = check_frame_set(frames, progress=progress.reach)
            click.echo(f"[{part}] {format_report(report)}")
            _warn_of_shared_drives(parts, part, frames)
            click.echo()
            bad += not report.ok
    if groups := workspace.experiment.class_groups:
        merged = "; ".join(title for title in class_titles(groups).values() if " + " in title)
        click.echo(f"[classes] labels for evaluation merge some, so all sets are learnt so: {merged}\n")
    if bad:
        raise SomeInputsFailedError(f"sets with problems: {bad}; they are listed above")


def _found(workspace: "Workspace") -> "dict[str, list[tuple[str, FrameSet | UserError]]]":
    """The sets of each part by name, as they are (`workspace` merges classes), or why there is none.

    Looked for before any frame is read, which takes hours for large sets.

    Raises:
        UserError: There is none at all.
    """
    from pipelines.experiment.experiment import PARTS

    def found(settings: "AnyFrameSetSettings") -> "FrameSet | UserError":
        try:
            return workspace.sets.find([settings])[0]
        except UserError as error:
            return error

    parts = {part: [(one.name, found(one)) for one in getattr(workspace.experiment, part)] for part in PARTS}
    every = [frames for sets in parts.values() for _, frames in sets]
    if all(isinstance(frames, UserError) for frames in every):
        raise every[0]
    return parts


def _warn_of_shared_drives(
    parts: "dict[str, list[tuple[str, FrameSet | UserError]]]", part_of_it: str, evaluated: "FrameSet"
) -> None:
    """Name the drives that frames for evaluation share with what was learnt from, or chosen by, before."""
    from pipelines.data.check import describe_shared_drives

    before = {"validation": ("source", "target"), "test": ("source", "target", "validation")}
    for part in before.get(part_of_it, ()):
        for _, training in parts[part]:
            if isinstance(training, UserError):
                continue
            if warning := describe_shared_drives(evaluated, training, part):
                click.echo(f"  {warning}")


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
    """Draw a toy world data set to disk, or carry on where it stopped."""
    from pipelines.data.toyworld.write import DRAWING, draw_toy_world
    from pipelines.progress import Progress

    # Frames of others may have the names of ours: those without a label map would be drawn over.
    begun = (output / DRAWING).exists() or not output.is_dir()
    if not begun and any(not one.name.startswith(".") for one in output.iterdir()):
        raise UserError(f"--output {output} holds files and no toy world ({DRAWING}); choose another folder")
    with Progress(f"draw {renderer}", frames, "frame") as progress:
        draw_toy_world(output, renderer, frames, size, seed, progress=progress.reach)
    click.echo(f"{frames} frames in {output}")
