"""Translate a video into a video: same size, frame rate and times, sound carried along; safe to kill."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from pipelines.batch_inference.network import Network
from pipelines.batch_inference.translation_options import ACTION
from pipelines.batch_inference.video import VideoSummary, VideoWork, make_video
from pipelines.batch_inference.work import UNWATCHED, JobControl
from pipelines.data.images import to_image


def translate_video(
    source: Path,
    output: Path,
    network: Network,
    identity: Mapping[str, JsonValue],
    control: JobControl = UNWATCHED,
) -> VideoSummary:
    """Translate a video; arguments as of `translate_frames`.

    Beside `output` a file NAME.json says of what it was made and how, with hashes of both.

    Raises:
        UserError, ImageError, StorageError, Interrupted: As of `make_video`.
    """
    work = VideoWork(
        source=source,
        output=output,
        identity={**identity, "height": network.height, "size": network.size, "batch": network.batch_size},
        network=network,
        draw=lambda number, frame, result: to_image(result),
        action=ACTION,
    )
    return make_video(work, lambda: network.clock.share, control)
