"""`sim2real translate run`: any folder of images, list file or video through a translator; the most used command."""

import os
from pathlib import Path
from typing import Any

import click

from pipelines.commands.options import (
    A_PATH,
    checkpoint_option,
    finish_translation,
    frame_by_frame_options,
    open_machine,
    options,
    typed_command,
)
from pipelines.errors import SomeInputsFailedError

READERS = ("folder", "carla", "gta5", "synthia", "cityscapes", "camvid", "translated")
WORTH_A_LINE = 20
FORMATS = ("same", "png", "jpg", "webp", "tiff", "bmp")

input_options = options(
    click.option(
        "--input", "source", type=A_PATH, required=True,
        help="A folder tree of images, the root of a data set, a list file (one path a line), an image or a video.",
    ),
    click.option("--output", type=A_PATH, required=True, help="Gets the same tree, translated; for a video: a video."),
    click.option(
        "--reader", type=click.Choice(READERS), default="folder", show_default=True,
        help="Kind of data set; other than folder, label maps are carried along.",
    ),
    click.option(
        "--frames", "reader_settings", multiple=True, metavar="KEY=VALUE",
        help="Setting of the reader: images='rgb/{name}.png', version=0.9.14, …",
    ),
    click.option(
        "--carry", multiple=True, metavar="PATTERN",
        help="Files that go along with each frame: 'instance/{name}.png'. May be repeated.",
    ),
)  # fmt: skip
manner_options = options(
    click.option(
        "--direction", type=click.Choice(("source_to_target", "target_to_source")), default="source_to_target",
        show_default=True,
    ),
    click.option("--height", type=click.IntRange(16), default=None,
                 help="Translate at this height and come back to the image's own size."),
    click.option("--size", type=click.IntRange(16), nargs=2, default=None, metavar="WIDTH HEIGHT",
                 help="The same, at this width and height."),
    click.option("--tile", type=click.IntRange(16), default=None,
                 help="Translate in tiles of this side, for frames beyond memory."),
    click.option("--batch", type=click.IntRange(1), default=1, show_default=True,
                 help="Neighbours of equal size that go through the network together; else leave it at 1."),
    click.option("--style-seed", type=click.IntRange(0), default=0, show_default=True,
                 help="Other looks of cars, houses, …, for a translator of label maps that was trained with styles."),
    click.option("--format", "format_name", type=click.Choice(FORMATS), default="same", show_default=True,
                 help="Of the images written."),
    click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG."),
    click.option("--fast", is_flag=True, help="In bf16 but for the first layers: deviates by a level or so of 255."),
    click.option("--runtime", type=click.Choice(("torch", "compile", "openvino")), default="torch", show_default=True,
                 help="compile takes a minute per size of image; openvino is an extra."),
)  # fmt: skip


@click.command("run")
@checkpoint_option
@input_options
@manner_options
@frame_by_frame_options
def translate_run(
    checkpoint: Path, source: Path, output: Path, reader: str, reader_settings: tuple[str, ...], carry: tuple[str, ...],
    direction: Any, height: int | None, size: tuple[int, int] | None, tile: int | None, batch: int,
    style_seed: int, format_name: str, quality: int, device: str, precision: str, threads: int | None, workers: int,
    shard: str | None, fast: bool, runtime: Any, restart: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Translate every image of a folder tree; names, sizes, formats and label maps stay. Carries on after a kill."""
    from pipelines.batch_inference.inputs import plan_input
    from pipelines.batch_inference.manner import Manner
    from pipelines.batch_inference.shards import Part
    from pipelines.data.video import is_video

    part = Part.parse(shard) if shard else Part.of_environment()
    manner = Manner(direction, height, size, batch, quality, part, tile, fast, runtime, style_seed)
    if is_video(source) and is_video(output):
        run_on_video(checkpoint, source, output, manner, (device, precision, threads), restart, dry_run)
        return
    suffix = None if format_name == "same" else f".{format_name}"
    plan, absent = plan_input(source, output, reader, reader_settings, suffix, carry)
    for pattern, frames in absent.items():
        if frames:
            click.echo(f"{frames} of {len(plan)} frames have no {pattern}", err=True)
    if dry_run:
        say_what_would_be_done(plan, output, part)
        return

    from pipelines.engine.session import Session
    from pipelines.stages.translating.translate_experiment import run_translation

    keep_memory()
    machine = open_machine(own_device(device), precision, threads)
    session = Session(machine, workers, restart, typed_command())
    summary = run_translation(checkpoint, plan, output, manner, session)
    say_network_share(summary.network_share, summary.made)
    if summary.part is not None and not shard:
        # torchrun ends all processes when one reports an error; the one that finishes last reports for all.
        click.echo(summary.count_line)
        return
    finish_translation(summary, output)


def run_on_video(
    checkpoint: Path, source: Path, output: Path, manner: Any, on: tuple[str, str, int | None], restart: bool,
    dry_run: bool,
) -> None:  # fmt: skip
    """Translate one video, on the machine that `on` (device, precision, threads) names."""
    if dry_run:
        from pipelines.stages.translating.translate_video import describe_video

        for line in describe_video(source, output):
            click.echo(line)
        return

    from pipelines.engine.session import Session
    from pipelines.stages.translating.translate_experiment import run_video

    keep_memory()
    session = Session(open_machine(*on), restart=restart, command=typed_command())
    summary = run_video(checkpoint, source, output, manner, session)
    say_network_share(summary.network_share, summary.frames - summary.resumed)
    click.echo(summary.count_line)


def say_network_share(share: float | None, frames: int) -> None:
    """One line on stderr: how much of the time the network did not wait for files. Nothing for a handful of frames."""
    if share is not None and frames >= WORTH_A_LINE:
        click.echo(f"the network was at work {share:.0%} of the time", err=True)


def say_what_would_be_done(plan: Any, output: Path, part: Any) -> None:
    """Print a dry run's findings; complain about frames that cannot be read."""
    from pipelines.batch_inference.preview import preview

    found = preview(plan, output, part)
    for line in found.lines:
        click.echo(line)
    if found.unreadable:
        raise SomeInputsFailedError(f"frames that cannot be read: {len(found.unreadable)}; see above")


def keep_memory() -> None:
    """This process translates and does nothing else, so what a frame frees is kept for the next one."""
    from pipelines.runtimes.acceleration import keep_freed_memory

    keep_freed_memory()


def own_device(device: str) -> str:
    """Under torchrun each process of a machine takes the GPU of its own number."""
    local = os.environ.get("LOCAL_RANK", "")
    if device != "auto" or not local.isdigit():
        return device
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(local) % count}" if count else device
