"""Cityscapes (Cordts et al., CVPR 2016): real frames of German streets, 2048x1024, the target of most experiments.

The published labels are labelIds; labelTrainIds are what the authors' scripts make of them.
"""

from typing import Literal

from pipelines.data.encodings import LabelEncoding, cityscapes
from pipelines.data.layout import PatternSettings


class CityscapesSettings(PatternSettings):
    """Settings of a Cityscapes set."""

    reader: Literal["cityscapes"]
    name: str = "cityscapes"
    split: str = "train"
    labels_kind: Literal["labelIds", "labelTrainIds"] = "labelIds"
    images: str = "leftImg8bit/{split}/{name}_leftImg8bit.png"
    labels: str = "gtFine/{split}/{name}_gtFine_{labels_kind}.png"

    def label_encoding(self) -> LabelEncoding:
        """The ids of the chosen kind."""
        return cityscapes(self.labels_kind)
