"""IDD-lite, the small release of IDD (Varma et al., WACV 2019): drives on Indian roads, 320x227, seven classes.

Published with a folder for each split; a table beside the folders may part the drives of one of them instead, so that
no two splits share a drive.
"""

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from pipelines.data.disk.files import open_regular
from pipelines.data.labels.encodings import LabelEncoding, idd_lite
from pipelines.data.readers.layout import Found, PatternSettings
from pipelines.data.selection.listing import lines_of
from pipelines.errors import UserError
from pipelines.settings import FilePath

COLUMNS = ["drive", "split"]


class IddLiteSettings(PatternSettings):
    """Settings of an IDD-lite set. A frame's name is DRIVE/FRAME."""

    reader: Literal["idd_lite"]
    name: str = "idd_lite"
    folder_split: str = "train"
    """The publishers' split: the folder in leftImg8bit and gtFine."""
    split: str | None = None
    """Use the drives alone that the table `splits` gives to this split; absent: all drives of the folder."""
    splits: FilePath = "splits.csv"
    """Table of `drive,split` that parts the drives, relative to the root; read where `split` is set."""
    images: str = "leftImg8bit/{folder_split}/{name}_image.*"
    labels: str = "gtFine/{folder_split}/{name}_label.png"

    of_patterns: ClassVar = ("folder_split",)

    def find(self, data: Path) -> Found:
        """All frames of the split; a note tells of drives that the table gives to it and that are not there."""
        root = self.folder(data)
        if self.split is None:
            return self._found(root, _is_frame)
        wanted = drives_of_split(root / self.splits, self.split)
        found = self._found(root, lambda name: _is_frame(name) and drive_in(name) in wanted)
        there = {drive_in(frame.name) for frame in found.frames}
        if wanted <= there:
            return found
        note = f"{len(there)} of the {len(wanted)} drives of {self.split!r} are there"
        return replace(found, notes=(*found.notes, note))

    def label_encoding(self) -> LabelEncoding:
        """The seven ids."""
        return idd_lite()

    def drive_of(self, name: str) -> str:
        """The folder."""
        return drive_in(name)


def _is_frame(name: str) -> bool:
    # NNNNNN_inst_label.png, where a release has it, ends as a label map does and numbers instances.
    return not name.endswith("_inst")


def drive_in(name: str) -> str:
    """The drive of a frame called DRIVE/FRAME."""
    return name.split("/")[0]


def drives_of_split(table: Path, split: str) -> set[str]:
    """The drives that a table of `drive,split` gives to a split.

    Raises:
        UserError: The table cannot be read or has other columns; a drive is in it twice; or none is of the split.
    """
    try:
        with open_regular(table) as stream:
            rows = list(csv.reader(io.StringIO("\n".join(lines_of(stream.read())))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{table}: cannot be read as the table of drives ({reason}); set `splits`, or no `split`"
        ) from error
    if not rows or rows[0] != COLUMNS or any(len(row) != 2 for row in rows if row):
        raise UserError(f"{table}: is no table of drives; expected the columns drive,split and a drive on each line")
    of_drive: dict[str, str] = {}
    for drive, its_split in filter(None, rows[1:]):
        if drive in of_drive:
            raise UserError(f"{table}: drive {drive!r} is listed twice; a drive belongs to one split")
        of_drive[drive] = its_split
    if split not in of_drive.values():
        known = ", ".join(sorted(set(of_drive.values()))) or "none"
        raise UserError(f"{table}: no drive is of split {split!r}; there are: {known}")
    return {drive for drive, its_split in of_drive.items() if its_split == split}
