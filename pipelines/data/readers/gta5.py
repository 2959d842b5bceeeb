"""GTA5, "Playing for Data" (Richter et al., ECCV 2016): 24966 frames of a game, 1914x1052.

Labels are palette PNGs whose index is the Cityscapes id. Two frames are known to have labels of another size.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from pipelines.data.decoding.matlab import numbers_in
from pipelines.data.disk.files import open_regular
from pipelines.data.labels.encodings import LabelEncoding, gta5
from pipelines.data.labels.label_tables import label_maps
from pipelines.data.readers.layout import Found, PatternSettings
from pipelines.errors import NoInputsError, UserError
from pipelines.settings import FilePath


class Gta5Settings(PatternSettings):
    """Settings of a GTA5 set."""

    reader: Literal["gta5"]
    name: str = "gta5"
    split: Literal["train", "val", "test"] | None = None
    """Use the frames alone that the authors' file `splits` gives to this split; absent: all, as most papers do."""
    splits: FilePath = "split.mat"
    """The authors' file of splits, relative to the root; read where `split` is set."""
    images: str = "images/{name}.*"
    labels: str = "labels/{name}.png"

    def label_encoding(self) -> LabelEncoding:
        """Palette index, or the colours of an RGB copy."""
        return gta5()

    def find(self, data: Path) -> Found:
        """All frames of the split but those whose label is known not to fit; a note tells how many of it are not there.

        Raises:
            UserError: As every reader; or the file of splits cannot be read.
            NoInputsError: No frame is there, or none of the split.
        """
        found = super().find(data)
        frames, notes = found.frames, found.notes
        if self.split is not None:
            table = self.folder(data) / self.splits
            numbers = frames_of_split(table, self.split)
            frames = [frame for frame in frames if _number(frame.name) in numbers]
            if not frames:
                raise NoInputsError(
                    f"{table}: none of the {len(found.frames)} frames that are there is of {self.split!r}"
                )
            if len(frames) < len(numbers):
                notes = (*notes, f"{len(frames)} of the {len(numbers)} frames of {self.split!r} are there")
        bad = {Path(name).stem for name in label_maps()["gta5"]["bad_files"]}
        skipped = [frame.name for frame in frames if frame.name.rsplit("/")[-1] in bad]
        if skipped:
            frames = [frame for frame in frames if frame.name not in skipped]
            notes = (*notes, f"skipped {', '.join(skipped)}: known to have a label of another size than the image")
        return Found(frames, found.unpaired_labels, notes, found.unread)


def frames_of_split(table: Path, split: str) -> set[int]:
    """The numbers of the frames that the authors' split.mat gives to a split: "train", "val" or "test".

    Raises:
        UserError: It cannot be read, or has no such numbers.
    """
    key = f"{split}Ids"
    try:
        with open_regular(table) as stream:
            numbers = numbers_in(stream.read(), key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{table}: cannot be read as the authors' file of splits ({reason}); set `splits`, or no `split`"
        ) from error
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise UserError(f"{table}: holds no numbers {key!r}; expected the authors' split.mat")
    return {int(number) for number in numbers.tolist()}


def _number(name: str) -> int:
    """The number in a frame's name, such as 17705 of 17705; -1 where it has none."""
    last = name.rpartition("/")[2]
    return int(last) if last.isdecimal() else -1
