"""Cityscapes (Cordts et al., CVPR 2016): real frames of German streets, 2048x1024, the target of most experiments.

The published labels are labelIds; labelTrainIds are what the authors' scripts make of them. Splits are folders: train
(2975), val (500) and test (1525) with fine labels, train_extra (19998) with coarse ones.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from pipelines.data.labels.encodings import LabelEncoding, cityscapes
from pipelines.data.readers.layout import Found, PatternSettings

TEST_SPLIT = (
    "the label maps of the test split are published without classes; its predictions are scored by the benchmark's "
    "server, for which `sim2real segment evaluate --submission` writes them"
)

FINE = "gtFine/{split}/{name}_gtFine_{labels_kind}.png"
COARSE = "gtCoarse/{split}/{name}_gtCoarse_{labels_kind}.png"
"""Label maps of train_extra, the only ones that it has; those of the other splits, too, where `labels` says so."""

BLACK = "troisdorf_000000_000073"
"""A frame of train_extra whose image is black throughout and whose label map is of one value."""


class CityscapesSettings(PatternSettings):
    """Settings of a Cityscapes set."""

    reader: Literal["cityscapes"]
    name: str = "cityscapes"
    split: str = "train"
    labels_kind: Literal["labelIds", "labelTrainIds"] = "labelIds"
    images: str = "leftImg8bit/{split}/{name}_leftImg8bit.png"
    labels: str = FINE

    of_patterns: ClassVar = ("split",)

    @model_validator(mode="before")
    @classmethod
    def _coarse_labels(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("split") == "train_extra":
            return {"labels": COARSE} | values
        return values

    def find(self, data: Path) -> Found:
        """All frames but the black one of train_extra; a note says of the test split that its label maps are published
        empty.
        """
        found = super().find(data)
        frames = [frame for frame in found.frames if frame.name.rpartition("/")[2] != BLACK]
        if len(frames) < len(found.frames):
            note = f"skipped {BLACK}: its image is known to be black throughout"
            found = replace(found, frames=frames, notes=(*found.notes, note))
        if self.split != "test" or not any(frame.label for frame in found.frames):
            return found
        return replace(found, notes=(*found.notes, TEST_SPLIT))

    def drive_of(self, name: str) -> str | None:
        """City and sequence: "aachen_000000" of aachen/aachen_000000_000019."""
        return name.rpartition("/")[2].rpartition("_")[0] or None

    def label_encoding(self) -> LabelEncoding:
        """The ids of the chosen kind."""
        return cityscapes(self.labels_kind)
