"""Predict a video: a video of overlays comes out, same size, times and sound, and the label maps if wanted.

Label maps go one PNG a frame into a folder beside the video, NAME.labels, which belongs to the video: it is made,
carried on and set aside together with it.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from pipelines.batch_inference.folder import claimed, restarting
from pipelines.batch_inference.preview import describe_video
from pipelines.batch_inference.video import VideoSummary, VideoWork, make_video
from pipelines.batch_inference.work import UNWATCHED, JobControl
from pipelines.data.disk.files import sha256_of, storage_errors, write_atomically
from pipelines.data.images import encode_png
from pipelines.data.labels.label_formats import LabelFormat, in_format
from pipelines.errors import ImageError
from pipelines.stages.predicting.predict_frames import ACTION, WHAT, SegmentingNetwork, overlay

if TYPE_CHECKING:
    from torch import Tensor


def predict_video(
    source: Path,
    output: Path,
    network: SegmentingNetwork,
    identity: Mapping[str, JsonValue],
    *,
    labels: LabelFormat | None = None,
    control: JobControl = UNWATCHED,
) -> VideoSummary:
    """Predict every frame of a video.

    Args:
        source: The video.
        output: The video of overlays.
        network: What predicts.
        identity: What decides the result, as for `predict_frames`.
        labels: Also write label maps, so, as `OUTPUT.labels/000000.png` and on; None: do not.
        control: How to go about it.

    Raises:
        UserError, ImageError, StorageError, Interrupted: As of `make_video`.
    """
    folder = label_folder(output)

    def label_path(number: int) -> Path:
        return folder / f"{number:06d}.png"

    def draw(number: int, frame: np.ndarray, result: "Tensor") -> np.ndarray:
        label_map = result.cpu().numpy()
        if labels is not None:
            write_atomically(label_path(number), encode_png(in_format(label_map, labels)))
        return overlay(frame, label_map)

    identity = {**identity, "height": network.height, "labels": labels}
    work = VideoWork(source, output, identity, network, draw, ACTION, None if labels is None else label_path)

    def make() -> VideoSummary:
        return make_video(work, lambda: network.clock.share, control)

    if labels is None:
        return make()
    # By content: of another film under the same name, a longer one, label maps would stay behind its last frame.
    plan = {"format": 1, **identity, "video": source.name, "video_sha256": sha256_of(source)}
    return _with_folder(folder, plan, control.restart, make)


def describe_video_prediction(source: Path, output: Path, labels: LabelFormat | None, how: str) -> list[str]:
    """What a dry run says of a video; `how` is what would compute.

    Raises:
        UserError, ImageError: The video cannot be read, or not be written as what `output` says.
    """
    *facts, nothing_written = describe_video(source, output)
    places = [str(place) for place in (output, *([] if labels is None else [label_folder(output)]))]
    missing = [] if output.exists() else [f"{output} is not there yet"]
    return [*facts, f"to {' and '.join(places)}, by {how}", *missing, nothing_written]


def label_folder(output: Path) -> Path:
    """Where the label maps of a video go."""
    return output.with_name(f"{output.name}.labels")


def _with_folder(
    folder: Path, plan: dict[str, JsonValue], restart: bool, make: Callable[[], VideoSummary]
) -> VideoSummary:
    """Make the video while the folder of its label maps is ours; where no label map was made, no folder stays."""

    def attempt() -> VideoSummary:
        with claimed(folder, plan, WHAT) as journal, storage_errors(folder):
            try:
                return make()
            except ImageError:  # a film that is damaged has no label maps
                for path in folder.glob("*.png"):
                    path.unlink()
                raise
            finally:
                journal.path.unlink()
                if not any(folder.glob("*.png")):
                    shutil.rmtree(folder)

    return restarting(folder, restart, attempt, WHAT)
