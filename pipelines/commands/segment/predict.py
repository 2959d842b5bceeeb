"""`sim2real segment predict`: any folder of images, list file or video through a segmenter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from pipelines.commands.options import gathered
from pipelines.commands.segmenter_options import TypedSegmenter, segmenter_options
from pipelines.errors import UserError


@dataclass(frozen=True)
class TypedOptions(TypedSegmenter):
    """How to predict, as it was typed."""

    overlays: bool


input_options = given_options(
    "A folder; gets labels/ and overlays/. For a video: a video of overlays.", "Kind of data set."
)
inference_options = gathered(
    "typed",
    TypedOptions,
    *segmenter_options(
        "Label maps as 8-bit train ids, Cityscapes label ids or colours; of a video: beside it, as OUTPUT.labels/.  "
        "[default: train_ids; of a video: none]",
        click.option(
            "--overlays/--no-overlays", default=True, show_default=True, help="Also write pictures for people."
        ),
    ),
)


@click.command("predict")
@input_options
@inference_options
@work_options
def segment_predict(given: Given, typed: TypedOptions, work: WorkThrough) -> None:
    """Write a label map and an overlay for every image of a folder tree. Carries on after a kill."""
    from pipelines.stages.predicting.predict_frames import to_predict

    part, source, output = work.part, given.source, given.output
    of_video = given.is_video
    if of_video:
        refuse_for_video(given, work, "predicted", {"--workers": work.workers != WORKERS})
        if not typed.overlays:
            raise UserError("--no-overlays: a video is made of overlays; leave it out")
    elif output.is_file():
        raise UserError(f"--output '{output}' is a file; give it the name of a folder")
    plan = [] if of_video else to_predict(given.plan()[0], typed.overlays)

    from pipelines.stages.predicting.prediction import (
        PredictionOptions,
        describe_prediction,
        run_prediction,
        run_video_prediction,
    )

    session = work.open_session()
    options = PredictionOptions(typed.height, typed.runtime, typed.fast, typed.labels, part, typed.weights, typed.flip)
    if work.dry_run:
        say_what_would_be_done(
            plan,
            source,
            output,
            options,
            describe_prediction(typed.checkpoints, options, session.machine),
            work.restart,
        )
        return
    if of_video:
        made = run_video_prediction(typed.checkpoints, source, output, options, session)
        say_network_share(made.network_share, made.frames - made.resumed)
        click.echo(made.count_line)
        return
    work.finish(run_prediction(typed.checkpoints, plan, output, options, session), output)


def say_what_would_be_done(
    plan: Any, source: Path, output: Path, options: Any, described: tuple[str, Any], restart: bool
) -> None:
    """Print a dry run's findings, of a video where there is no plan; complain about frames that cannot be read."""
    from pipelines.batch_inference.folder import Intent
    from pipelines.stages.predicting.predict_frames import WHAT, preview_prediction
    from pipelines.stages.predicting.predict_video import describe_video_prediction

    how, decided_by = described
    if not plan:
        click.echo("\n".join(describe_video_prediction(source, output, options.labels, how)))
        return
    lines, found = preview_prediction(plan, output, how, Intent(WHAT, decided_by, restart=restart), options.part)
    click.echo("\n".join(lines))
    complain_of_unreadable(found.unreadable)
