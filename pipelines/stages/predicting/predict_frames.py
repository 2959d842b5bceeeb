"""Predict the frames of a folder, a list or a data set: a label map and, if wanted, an overlay for each.

The machinery is that of batch translation: reading, network and writing overlap; a killed run is carried on by the same
command and leaves the same bytes; a bad file costs one frame; `manifest.jsonl` and `failures.jsonl` tell all.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import JsonValue

from pipelines.batch_inference.flow import refuse_stripe
from pipelines.batch_inference.folder import Intent
from pipelines.batch_inference.network_clock import NetworkClock
from pipelines.batch_inference.plan import PlannedFrame, refuse_collisions
from pipelines.batch_inference.preview import BYTES_PER_PIXEL, Preview, preview
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.work import UNWATCHED, JobControl, Outcome, Work, work_through
from pipelines.batch_inference.write import Loaded
from pipelines.data.disk.files import write_atomically
from pipelines.data.disk.manifest import ManifestEntry
from pipelines.data.images import encode_image, encode_png, image_error
from pipelines.data.labels.label_formats import LabelFormat, coloured, in_format
from pipelines.data.readers.layout import distinct_names
from pipelines.errors import NoInputsError, UserError
from segment.classes import PALETTE

if TYPE_CHECKING:  # an option is refused before torch is loaded
    from torch import Tensor

    from pipelines.runtimes.frame_prediction import FramePredictor

WHAT, ACTION = "prediction", "predicted"
LABELS, OVERLAYS = PurePosixPath("labels"), PurePosixPath("overlays")
OVERLAY_STRENGTH = 0.55
LABEL_BYTES_PER_PIXEL = 0.04
"""Size of label maps of driving frames as PNG; colours take a little more."""


@dataclass(frozen=True)
class SegmentingNetwork:
    """A segmenter that is given each frame at one height, and answers at the frame's own size: by a label map."""

    predictor: "FramePredictor"
    clock: NetworkClock
    batch_size: int = 1

    @property
    def height(self) -> int:
        """At which it sees frames."""
        return self.predictor.height

    def __call__(self, batch: Sequence[np.ndarray], source: Path) -> "list[Tensor]":
        """What `answer` says of the one frame of a batch."""
        import torch

        (frame,) = batch
        size = (frame.shape[0], frame.shape[1])
        try:
            with torch.inference_mode(), self.clock.working():
                return [self.answer(frame, size)]
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{source}: out of memory for a frame of {size[1]}x{size[0]} on {self.predictor.device}; set a smaller "
                "--height"
            ) from error

    def answer(self, frame: np.ndarray, size: tuple[int, int]) -> "Tensor":
        """The label map of a frame, uint8 (H, W) on the device."""
        return self.predictor.label_map(frame, size)

    def refuse(self, source: Path, size: tuple[int, int]) -> None:
        """ImageError where a frame of a height and width is a stripe that would take all memory."""
        refuse_stripe(source, size, self.height)


@dataclass(frozen=True)
class PredictionWriter:
    """Writes the label map of a frame and, where the frame has a place for it, the overlay."""

    checkpoint_sha256: str
    labels: LabelFormat

    def write(self, loaded: Loaded, result: "Tensor", output: Path) -> ManifestEntry:
        """Write a frame's files; they count once the returned entry is in a journal.

        Args:
            loaded: The frame.
            result: uint8 (H, W) train ids.
            output: Folder of the predictions.

        Raises:
            ImageError: The overlay does not fit into its format.
            StorageError: The disk refuses.
        """
        frame, label_map = loaded.frame, result.cpu().numpy()
        data = encode_png(in_format(label_map, self.labels))
        picture = None if frame.output_overlay is None else self._overlay(loaded, label_map)
        return write_files(output, loaded, data, picture, self.checkpoint_sha256)

    def _overlay(self, loaded: Loaded, label_map: np.ndarray) -> bytes:
        try:
            return encode_image(overlay(loaded.pixels, label_map), ".jpg")
        except ValueError as error:
            raise image_error(loaded.frame.image, str(error)) from error


def write_files(
    output: Path, loaded: Loaded, image: bytes, overlay: bytes | None, checkpoint_sha256: str
) -> ManifestEntry:
    """Write what was made of a frame, and beside it a second picture where it has a place for one; return the record.

    Raises:
        StorageError: The disk refuses.
    """
    frame = loaded.frame
    write_atomically(output / frame.output_image, image)
    if frame.output_overlay is not None and overlay is not None:
        write_atomically(output / frame.output_overlay, overlay)
    height, width = loaded.size
    return ManifestEntry(
        frame=frame.name,
        image=str(frame.output_image),
        label=None,
        label_encoding=None,
        source=str(frame.source),
        source_sha256=loaded.source_sha256,
        image_sha256=hashlib.sha256(image).hexdigest(),
        label_sha256=None,
        checkpoint_sha256=checkpoint_sha256,
        width=width,
        height=height,
        overlay=None if frame.output_overlay is None else str(frame.output_overlay),
        overlay_sha256=None if overlay is None else hashlib.sha256(overlay).hexdigest(),
    )


def to_predict(frames: Sequence[PlannedFrame], overlays: bool) -> list[PlannedFrame]:
    """A translation's plan as a prediction's: `labels/NAME.png` and `overlays/NAME.jpg`; label maps stay behind.

    Images that differ in their suffix alone keep it in the names of what is made of them: `labels/a.jpg.png` and
    `labels/a.png.png`.

    Raises:
        UserError: Two frames would be written to one file.
    """
    names = distinct_names([(str(frame.source.with_suffix("")), str(frame.source)) for frame in frames])
    planned = [
        replace(
            frame,
            output_image=LABELS / f"{name}.png",
            output_overlay=OVERLAYS / f"{name}.jpg" if overlays else None,
            label=None,
            label_encoding=None,
            output_label=None,
        )
        for name, frame in zip(names, frames, strict=True)
    ]
    refuse_collisions(planned)
    return planned


def prediction_plan(identity: Mapping[str, JsonValue], height: int, labels: LabelFormat) -> dict[str, JsonValue]:
    """What decides a prediction, as its folder says."""
    return {"format": 1, **identity, "height": height, "labels": labels}


def preview_prediction(
    frames: Sequence[PlannedFrame], output: Path, how: str, intent: Intent, part: Part | None = None
) -> tuple[list[str], Preview]:
    """What a prediction would do, as lines for people and as found; nothing is written.

    Args:
        frames: As `to_predict` makes them.
        output: Folder of the predictions.
        how: What would compute them.
        intent: What would be made.
        part: Look at this part of the frames alone.

    Raises:
        UserError: As of `preview`.
    """
    found = preview(frames, output, intent, part)
    overlays = any(frame.output_overlay is not None for frame in frames)
    bytes_per_pixel = LABEL_BYTES_PER_PIXEL + overlays * BYTES_PER_PIXEL[".jpg"]
    found = replace(found, bytes_needed=round(found.bytes_needed * bytes_per_pixel / BYTES_PER_PIXEL[".png"]))
    kinds = [str(output / kind) for kind in (LABELS, *[OVERLAYS] * overlays)]
    here = f"to {' and '.join(kinds)}, by {how}"
    # Nothing goes along with a prediction; a translation's line about that is where ours fits.
    return [here if line.startswith("carried along") else line for line in found.lines], found


def predict_frames(
    frames: Sequence[PlannedFrame],
    output: Path,
    network: SegmentingNetwork,
    identity: Mapping[str, JsonValue],
    *,
    labels: LabelFormat = "train_ids",
    control: JobControl = UNWATCHED,
) -> Outcome:
    """Predict what is not finished yet, in name order, and write the manifest.

    Args:
        frames: As `to_predict` makes them; all of them, also where only a part is done here.
        output: Gets `labels/` and `overlays/`; made if missing.
        network: What predicts.
        identity: What decides the result: "checkpoint_sha256", and whatever else (runtime, precision). A folder that
            holds predictions of another identity is refused.
        labels: How label maps are written. Part of the identity.
        control: How to go about it.

    Raises:
        NoInputsError: There are no frames, or every one failed.
        UserError, StorageError, Interrupted: As of `work_through`.
    """
    if not frames:
        raise NoInputsError(f"There are no frames to predict into {output}")
    work = Work(
        frames=frames,
        output=output,
        plan=prediction_plan(identity, network.height, labels),
        network=network,
        writer=PredictionWriter(str(identity["checkpoint_sha256"]), labels),
        what=WHAT,
        action=ACTION,
    )
    return work_through(work, lambda: network.clock.share, control)


def overlay(image: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """The image under its classes' colours; uint8 (H, W, 3), ignored pixels left as they are."""
    blended = cv2.addWeighted(image, 1 - OVERLAY_STRENGTH, coloured(label_map), OVERLAY_STRENGTH, 0)
    ignored = label_map >= len(PALETTE)
    if ignored.any():  # a network names a class everywhere; label maps of people do not
        blended[ignored] = image[ignored]
    return blended
