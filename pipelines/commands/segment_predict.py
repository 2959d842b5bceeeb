"""`sim2real segment predict`: any folder of images, list file or video through a segmenter."""

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
)
from pipelines.commands.translate_run import READERS, keep_memory, own_device, say_network_share
from pipelines.errors import SomeInputsFailedError, UserError

input_options = options(
    click.option(
        "--input", "source", type=A_PATH, required=True,
        help="A folder tree of images, the root of a data set, a list file (one path a line), an image or a video.",
    ),
    click.option("--output", type=A_PATH, required=True,
                 help="A folder; gets labels/ and overlays/. For a video: a video of overlays."),
    click.option("--reader", type=click.Choice(READERS), default="folder", show_default=True, help="Kind of data set."),
    click.option("--frames", "reader_settings", multiple=True, metavar="KEY=VALUE",
                 help="Setting of the reader: images='rgb/{name}.png', version=0.9.14, …"),
)  # fmt: skip
manner_options = options(
    click.option("--labels", type=click.Choice(("train_ids", "label_ids", "colour")), default=None,
                 help="Label maps as 8-bit train ids, Cityscapes label ids or colours; of a video: beside it, as "
                      "OUTPUT.labels/.  [default: train_ids; of a video: none]"),
    click.option("--overlays/--no-overlays", default=True, show_default=True, help="Also write pictures for people."),
    click.option("--height", type=click.IntRange(16), default=None,
                 help="Predict at this height instead of that of the training; results keep the image's own size."),
    click.option("--runtime", type=click.Choice(("torch", "compile", "onnxruntime", "openvino")), default=None,
                 help="What computes; two of them are extras.  [default: the fastest present]"),
    click.option("--fast", is_flag=True, help="In bf16, which changes some pixels on the borders between classes."),
)  # fmt: skip


@click.command("predict")
@checkpoint_option
@input_options
@manner_options
@frame_by_frame_options
def segment_predict(
    checkpoint: Path, source: Path, output: Path, reader: str, reader_settings: tuple[str, ...], labels: Any,
    overlays: bool, height: int | None, runtime: Any, fast: bool, device: str, precision: str, threads: int | None,
    workers: int, shard: str | None, restart: bool, dry_run: bool,
) -> None:  # fmt: skip
    """Write a label map and an overlay for every image of a folder tree. Carries on after a kill."""
    from pipelines.batch_inference.inputs import plan_input
    from pipelines.batch_inference.shards import Part
    from pipelines.data.video import is_video
    from pipelines.stages.predicting.predict_frames import to_predict

    part = Part.parse(shard) if shard else Part.of_environment()
    of_video = is_video(source) and not source.is_dir()
    if of_video and not is_video(output):
        raise UserError(f"--input {source}: a video is predicted into a video; give --output a name such as out.mp4")
    if of_video and not overlays:
        raise UserError("--no-overlays: a video is made of overlays; leave it out")
    if of_video and part is not None:
        raise UserError("--shard: a video is predicted by one process; cut it into several to share the work")
    if not of_video and output.is_file():
        raise UserError(f"--output '{output}' is a file; give it the name of a folder")
    plan = [] if of_video else to_predict(plan_input(source, output, reader, reader_settings)[0], overlays)

    from pipelines.stages.predicting.prediction import (
        PredictionManner,
        describe_prediction,
        run_prediction,
        run_video_prediction,
    )

    keep_memory()
    machine = open_machine(own_device(device), precision, threads)
    manner = PredictionManner(height, runtime, fast, labels, part)
    if dry_run:
        say_what_would_be_done(plan, source, output, manner, describe_prediction(checkpoint, manner, machine))
        return
    if of_video:
        made = run_video_prediction(checkpoint, source, output, manner, machine, restart)
        say_network_share(made.network_share, made.frames - made.resumed)
        click.echo(made.count_line)
        return
    summary = run_prediction(checkpoint, plan, output, manner, machine, max(workers, 1), restart)
    say_network_share(summary.network_share, summary.made)
    if summary.part is not None and not shard:
        # torchrun ends all processes when one reports an error; the one that finishes last reports for all.
        click.echo(summary.count_line)
        return
    finish_translation(summary, output)


def say_what_would_be_done(plan: Any, source: Path, output: Path, manner: Any, how: str) -> None:
    """Print a dry run's findings, of a video where there is no plan; complain about frames that cannot be read."""
    from pipelines.stages.predicting.predict_frames import preview_prediction
    from pipelines.stages.predicting.predict_video import describe_video_prediction

    if not plan:
        click.echo("\n".join(describe_video_prediction(source, output, manner.labels, how)))
        return
    lines, found = preview_prediction(plan, output, how, manner.part)
    click.echo("\n".join(lines))
    if found.unreadable:
        raise SomeInputsFailedError(f"frames that cannot be read: {len(found.unreadable)}; see above")
