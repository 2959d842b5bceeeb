"""CamVid (Brostow et al., 2009): real drives through Cambridge, 960x720, often used at 480x360.

Circulates as 11 classes at 480x360 in train/ and trainannot/ (Badrinarayanan et al., SegNet) and in the 32 colours of
its authors at 960x720, all frames in one folder: a list (`frames`) parts these. The 11 come in two orders that a file
does not tell apart.
"""

from typing import Any, ClassVar, Literal

from pydantic import model_validator

from pipelines.data.labels.encodings import LabelEncoding, camvid
from pipelines.data.readers.layout import PatternSettings

PATTERNS = {
    "11": {"images": "{split}/{name}.*", "labels": "{split}annot/{name}.png"},
    "32": {"images": "701_StillsRaw_full/{name}.png", "labels": "LabeledApproved_full/{name}_L.png"},
}


class CamVidSettings(PatternSettings):
    """Settings of a CamVid set. `images` and `labels` default to the layout that goes with `encoding`."""

    reader: Literal["camvid"]
    name: str = "camvid"
    encoding: Literal["11", "32"] = "11"
    order: Literal["segnet", "building_first"] = "segnet"
    split: str = "train"
    """A folder; of the "32" colours there is one for all frames, which `frames` parts."""

    of_patterns: ClassVar = ("split",)

    @model_validator(mode="before")
    @classmethod
    def _default_patterns(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return PATTERNS.get(str(values.get("encoding")), PATTERNS["11"]) | values  # another encoding is refused later

    def drive_of(self, name: str) -> str | None:
        """What stands before the frame's number: "0016E5" of 0016E5_07959, "Seq05VD" of Seq05VD_f00000."""
        drive, separator, _ = name.rpartition("/")[2].partition("_")
        return drive if separator else None

    def label_encoding(self) -> LabelEncoding:
        """Ids in the chosen order, or colours."""
        return camvid(self.encoding, self.order)
