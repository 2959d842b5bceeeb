"""A set that our translator wrote: its manifest names every image, its label and how that label is written.

The manifest is the truth, not the folders: a frame of a run that was interrupted is not in it.
"""

from pathlib import Path
from typing import Literal

from pipelines.data.disk.manifest import MANIFEST, ManifestEntry, read_manifest
from pipelines.data.labels.encodings import LabelEncoding
from pipelines.data.readers.layout import Found, Frame, ListedSettings
from pipelines.errors import NoInputsError, UserError


class TranslatedSettings(ListedSettings):
    """Settings of a translated set."""

    reader: Literal["translated"]
    name: str = "translated"

    def find(self, data: Path) -> Found:
        """All frames of the manifest. One set may hold labels of several encodings.

        Raises:
            UserError: The root or the manifest is missing, or a line of the manifest is damaged.
            NoInputsError: The manifest is empty.
        """
        root = self.folder(data)
        entries = read_manifest(root / MANIFEST)
        if not entries:
            raise NoInputsError(f"{root / MANIFEST}: the manifest lists no frame")
        frames = [frame_of(root, entry) for entry in sorted(entries, key=lambda entry: entry.frame)]
        return Found(frames, [])


def frame_of(root: Path, entry: ManifestEntry) -> Frame:
    """The frame that a line of the manifest in `root` tells of; UserError where its label is of no known encoding."""
    image = root / entry.image
    if entry.label is None or entry.label_encoding is None:
        return Frame(entry.frame, image, image_sha256=entry.image_sha256)
    try:
        encoding = LabelEncoding.from_json(entry.label_encoding)
    except UserError as error:
        raise UserError(f"{root / MANIFEST}: frame {entry.frame!r}: {error}. Translate the set again") from error
    return Frame(entry.frame, image, root / entry.label, encoding, entry.image_sha256, entry.label_sha256)
