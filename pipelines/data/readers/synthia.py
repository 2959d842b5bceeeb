"""SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016): 9400 rendered frames, 1280x760.

The class is the first channel of a 16-bit PNG in GT/LABELS; most image libraries silently read zeros from it.
"""

from typing import Literal

from pipelines.data.labels.encodings import LabelEncoding, synthia
from pipelines.data.readers.layout import PatternSettings


class SynthiaSettings(PatternSettings):
    """Settings of a SYNTHIA set."""

    reader: Literal["synthia"]
    name: str = "synthia"
    lane_marking: Literal["road", "ignore"] = "road"
    """"road" as Cityscapes counts them; "ignore" repeats most published results."""
    images: str = "RGB/{name}.png"
    labels: str = "GT/LABELS/{name}.png"

    def drive_of(self, name: str) -> str:
        """Every frame is one of its own: RAND says that each was rendered from another place."""
        return name

    def label_encoding(self) -> LabelEncoding:
        """The 16-bit class channel."""
        return synthia(self.lane_marking)
