"""Cityscapes (Cordts et al., CVPR 2016): real frames of German streets, 2048x1024, the target of most experiments.

The published labels are labelIds; labelTrainIds are what the authors' scripts make of them.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pipelines.data.labels.encodings import LabelEncoding, cityscapes
from pipelines.data.readers.layout import Found, PatternSettings

TEST_SPLIT = (
    "the label maps of the test split are published without classes; its predictions are scored by the benchmark's "
    "server, for which `sim2real segment evaluate --submission` writes them"
)


class CityscapesSettings(PatternSettings):
    """Settings of a Cityscapes set."""

    reader: Literal["cityscapes"]
    name: str = "cityscapes"
    split: str = "train"
    labels_kind: Literal["labelIds", "labelTrainIds"] = "labelIds"
    images: str = "leftImg8bit/{split}/{name}_leftImg8bit.png"
    labels: str = "gtFine/{split}/{name}_gtFine_{labels_kind}.png"

    def find(self, data: Path) -> Found:
        """All frames; a note says of the test split that its label maps are published empty."""
        found = super().find(data)
        if self.split != "test" or not any(frame.label for frame in found.frames):
            return found
        return replace(found, notes=(*found.notes, TEST_SPLIT))

    def drive_of(self, name: str) -> str | None:
        """City and sequence: "aachen_000000" of aachen/aachen_000000_000019."""
        return name.rpartition("/")[2].rpartition("_")[0] or None

    def label_encoding(self) -> LabelEncoding:
        """The ids of the chosen kind."""
        return cityscapes(self.labels_kind)
