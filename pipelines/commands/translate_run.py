"""`sim2real translate run`: any folder of images through a translator; the most used command."""

from pathlib import Path

import click

from pipelines.commands.options import (
    A_FOLDER,
    checkpoint_option,
    finish_translation,
    open_machine,
    training_options,
)


@click.command("run")
@checkpoint_option
@click.option(
    "--input", "source", type=A_FOLDER, required=True, help="Any folder tree of images, or the root of a data set."
)
@click.option("--output", type=A_FOLDER, required=True, help="Gets the same tree, translated.")
@click.option(
    "--direction",
    type=click.Choice(("source_to_target", "target_to_source")),
    default="source_to_target",
    show_default=True,
)
@click.option(
    "--reader",
    type=click.Choice(("folder", "carla", "gta5", "synthia", "cityscapes", "camvid", "translated")),
    default="folder",
    show_default=True,
    help="Kind of data set; other than folder, label maps are carried along.",
)
@click.option(
    "--frames",
    "reader_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Setting of the reader: images='rgb/{name}.png', version=0.9.14, …",
)
@click.option(
    "--height",
    type=click.IntRange(16),
    default=None,
    help="Translate at this height and come back to the image's own size.",
)
@training_options
def translate_run(
    checkpoint: Path, source: Path, output: Path, direction: str, reader: str, reader_settings: tuple[str, ...],
    height: int | None, device: str, precision: str, threads: int | None, workers: int, restart: bool,
) -> None:  # fmt: skip
    """Translate every image of a folder tree; names, sizes and label maps stay. Carries on after a kill."""
    from pipelines.stages.translate_experiment import translate_folder

    machine = open_machine(device, precision, threads)
    finish_translation(
        translate_folder(
            checkpoint, source, output, direction, reader, reader_settings, height, machine, workers, restart
        ),
        output,
    )
