"""`sim2real translate run`: any folder of images, list file or video through a translator; the most used command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.frame_by_frame import (
    WORKERS,
    Given,
    WorkThrough,
    complain_of_unreadable,
    given_options,
    refuse_for_video,
    say_network_share,
    work_options,
)
from pipelines.commands.options import checkpoint_option, gathered
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.batch_inference.shards import Part
    from pipelines.batch_inference.translation_options import TranslationOptions

FORMATS = ("same", "png", "jpg", "webp", "tiff", "bmp")


@dataclass(frozen=True)
class TypedOptions:
    """How to translate, as it was typed."""

    direction: Any
    height: int | None
    size: tuple[int, int] | None
    tile: int | None
    batch: int
    style_seed: int
    format_name: str
    quality: int
    fast: bool
    runtime: Any

    def options(self, part: "Part | None") -> "TranslationOptions":
        """The options of translation, for the part of the frames that is done here."""
        from pipelines.batch_inference.translation_options import TranslationOptions

        return TranslationOptions(
            direction=self.direction, height=self.height, size=self.size, batch_size=self.batch, quality=self.quality,
            part=part, tile=self.tile, fast=self.fast, runtime=self.runtime, style_seed=self.style_seed,
        )  # fmt: skip

    @property
    def suffix(self) -> str | None:
        """The suffix of the files written; None: that of each source."""
        return None if self.format_name == "same" else f".{self.format_name}"


input_options = given_options(
    "Gets the same tree, translated; for a video: a video.",
    "Kind of data set; other than folder, label maps are carried along.",
    click.option(
        "--carry", multiple=True, metavar="PATTERN",
        help="Files that go along with each frame: 'instance/{name}.png'. May be repeated.",
    ),
)  # fmt: skip
inference_options = gathered(
    "typed",
    TypedOptions,
    click.option(
        "--direction", type=click.Choice(("source_to_target", "target_to_source")), default="source_to_target",
        show_default=True,
    ),
    click.option("--height", type=click.IntRange(16), default=None,
                 help="Translate at this height and come back to the image's own size."),
    click.option("--size", type=click.IntRange(16), nargs=2, default=None, metavar="WIDTH HEIGHT",
                 help="Translate at this width and height and come back."),
    click.option("--tile", type=click.IntRange(16), default=None,
                 help="Translate in tiles of this side, for frames beyond memory."),
    click.option("--batch", type=click.IntRange(1), default=1, show_default=True,
                 help="Neighbours of equal size that go through the network together; else leave it at 1."),
    click.option("--style-seed", type=click.IntRange(0), default=0, show_default=True,
                 help="Other looks of cars, houses, …, for a translator of label maps that was trained with styles."),
    click.option("--format", "format_name", type=click.Choice(FORMATS), default="same", show_default=True,
                 help="Of the images written."),
    click.option("--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG."),
    click.option("--fast", is_flag=True,
                 help="In bf16 but for the first layers, where the processor has it: off by a level or so of 255."),
    click.option("--runtime", type=click.Choice(("torch", "compile", "openvino")), default="torch", show_default=True,
                 help="compile takes a minute per size of image; openvino is an extra."),
)  # fmt: skip


@click.command("run")
@checkpoint_option
@input_options
@inference_options
@work_options
def translate_run(checkpoint: Path, given: Given, typed: TypedOptions, work: WorkThrough) -> None:
    """Translate every image of a folder tree; names, sizes, formats and label maps stay. Carries on after a kill."""
    from pipelines.batch_inference.translation_options import QUALITY

    options = typed.options(work.part)
    if typed.quality != QUALITY and typed.suffix not in (None, ".jpg"):
        raise UserError(f"--quality {typed.quality}: of JPEG, and --format is {typed.format_name}; leave it out")
    if given.is_video:
        more = {
            "--format": typed.suffix is not None,
            "--quality": typed.quality != QUALITY,
            "--workers": work.workers != WORKERS,
        }
        refuse_for_video(given, work, "translated", more)
        run_on_video(checkpoint, given, options, work)
        return
    plan, absent = given.plan(typed.suffix)
    for pattern, frames in absent.items():
        if frames:
            click.echo(f"{frames} of {len(plan)} frames have no {pattern}", err=True)
    if work.dry_run:
        say_what_would_be_done(checkpoint, plan, given.output, options, work)
        return

    from pipelines.stages.translating.translate_experiment import run_translation

    work.finish(run_translation(checkpoint, plan, given.output, options, work.open_session()), given.output)


def run_on_video(checkpoint: Path, given: Given, options: "TranslationOptions", work: WorkThrough) -> None:
    """Translate one video."""
    if work.dry_run:
        from pipelines.batch_inference.preview import describe_video

        refuse_no_translator(checkpoint)
        refuse_no_runtime(options, work)
        for line in describe_video(given.source, given.output):
            click.echo(line)
        return

    from pipelines.stages.translating.translate_experiment import run_video

    summary = run_video(checkpoint, given.source, given.output, options, work.open_session())
    say_network_share(summary.network_share, summary.frames - summary.resumed)
    click.echo(summary.count_line)


def refuse_no_translator(checkpoint: Path) -> str:
    """The hash of a dry run's checkpoint; CheckpointError where that is not there, damaged or no translator's."""
    from pipelines.engine.checkpoint_files import checkpoint_hash, resolve_checkpoint, settings_in

    found = resolve_checkpoint(checkpoint)
    settings_in(found, "translator")
    return checkpoint_hash(found)


def refuse_no_runtime(options: "TranslationOptions", work: WorkThrough) -> None:
    """UserError where a dry run's runtime is not installed or not for its device; torch is, and need not be loaded."""
    if options.runtime != "torch":
        from pipelines.runtimes.conversion import refuse_absent_runtime

        refuse_absent_runtime(options.runtime, work.open_session().machine.device.type)


def say_what_would_be_done(
    checkpoint: Path, plan: Any, output: Path, options: "TranslationOptions", work: WorkThrough
) -> None:
    """Print a dry run's findings; complain about frames that cannot be read."""
    from pipelines.batch_inference.preview import preview

    intent = options.intent(refuse_no_translator(checkpoint), work.restart)
    refuse_no_runtime(options, work)
    found = preview(plan, output, intent, options.part)
    for line in found.lines:
        click.echo(line)
    complain_of_unreadable(found.unreadable)
