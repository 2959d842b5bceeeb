"""Writing one translated frame: the image in its format, and the files that go along, untouched."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.batch_inference.plan import PlannedFrame, resolved
from pipelines.data.disk.files import (
    open_regular,
    part_of,
    says_nothing_of_the_file,
    storage_errors,
    sync_folder,
    write_atomically,
)
from pipelines.data.disk.manifest import ManifestEntry
from pipelines.data.images import encode_image, image_error, to_image
from pipelines.errors import NumericalError, StorageError

if TYPE_CHECKING:  # a plan can be made and shown without waiting for torch
    from torch import Tensor


@dataclass(frozen=True)
class Loaded:
    """A frame in memory, and the hashes of what it was read from.

    `pixels` is what the network is given: uint8 (H, W, 3) RGB, or a label map (H, W). `alpha` is uint8 (H, W).
    """

    frame: PlannedFrame
    pixels: np.ndarray
    alpha: np.ndarray | None
    source_sha256: str
    label_sha256: str | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True)
class FrameWriter:
    """Writes the frames of one translation; `quality` is that of JPEG."""

    checkpoint_sha256: str
    quality: int

    def write(self, loaded: Loaded, image: "Tensor", output: Path) -> ManifestEntry:
        """Write a frame's files; they count once the returned entry is in a journal.

        Args:
            loaded: The frame.
            image: Its translation, (3, H, W) in [0, 1].
            output: Folder of the translated set.

        Raises:
            ImageError: The image does not fit into its format, or a file that goes along is gone.
            NumericalError: It holds values that are not numbers.
            StorageError: The disk refuses.
        """
        frame = loaded.frame
        try:
            data = encode_image(to_image(image), frame.output_image.suffix, self.quality, loaded.alpha)
        except NumericalError as error:
            raise NumericalError(f"{frame.image}: {error}") from error
        except ValueError as error:
            raise image_error(frame.image, str(error)) from error
        write_atomically(output / frame.output_image, data)
        for source, destination in frame.carried:
            carry_along(source, output / destination)
        height, width = loaded.size
        return ManifestEntry(
            frame=frame.name,
            image=str(frame.output_image),
            label=None if frame.output_label is None else str(frame.output_label),
            label_encoding=None if frame.label_encoding is None else dict(frame.label_encoding),
            source=str(frame.source),
            source_sha256=loaded.source_sha256,
            image_sha256=hashlib.sha256(data).hexdigest(),
            label_sha256=loaded.label_sha256,
            checkpoint_sha256=self.checkpoint_sha256,
            width=width,
            height=height,
        )


def carry_along(source: Path, destination: Path) -> None:
    """Give a file a second name (no bytes are copied), else copy it. Its bytes are never touched.

    Raises:
        ImageError: The file is no longer there, or is none: that costs its frame.
        StorageError: The disk refuses.
    """
    part = part_of(destination)
    with storage_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.unlink(missing_ok=True)
        os.link(resolved(source), part)
    except OSError:  # another disk, one without hard links, or nothing there to be linked
        write_atomically(destination, _to_be_carried(source))
        return
    with storage_errors(destination):
        os.replace(part, destination)
        part.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
        sync_folder(destination.parent)


def _to_be_carried(source: Path) -> bytes:
    try:
        with open_regular(source) as stream:
            return stream.read()
    except OSError as error:
        reason = f"cannot be carried along: {error.strerror or error}"
        if says_nothing_of_the_file(error):
            raise StorageError(f"{source}: {reason}") from error
        raise image_error(source, reason) from error
