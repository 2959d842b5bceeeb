"""GTA5, "Playing for Data" (Richter et al., ECCV 2016): 24966 frames of a game, 1914x1052.

Labels are palette PNGs whose index is the Cityscapes id. Two frames are known to have labels of another size.
"""

from pathlib import Path
from typing import Literal

from pipelines.data.labels.encodings import LabelEncoding, gta5, label_maps
from pipelines.data.readers.layout import Found, PatternSettings


class Gta5Settings(PatternSettings):
    """Settings of a GTA5 set."""

    reader: Literal["gta5"]
    name: str = "gta5"
    images: str = "images/{name}.*"
    labels: str = "labels/{name}.png"

    def label_encoding(self) -> LabelEncoding:
        """Palette index, or the colours of an RGB copy."""
        return gta5()

    def find(self, data: Path) -> Found:
        """All frames but those whose label is known not to fit."""
        found = super().find(data)
        bad = {Path(name).stem for name in label_maps()["gta5"]["bad_files"]}
        skipped = [frame.name for frame in found.frames if frame.name.rsplit("/")[-1] in bad]
        if not skipped:
            return found
        frames = [frame for frame in found.frames if frame.name not in skipped]
        note = f"skipped {', '.join(skipped)}: known to have a label of another size than the image"
        return Found(frames, found.unpaired_labels, (*found.notes, note), found.unread)
