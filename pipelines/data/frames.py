"""Frame sets: a data set of any kind, seen as numbered frames with RGB images and label maps of train ids.

All that the stages know of data sets is in `FrameSet`. A new data set is one reader file and one line in
`AnyFrameSetSettings`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from pipelines.data.images import image_error, image_size, read_image
from pipelines.data.labels.encodings import IGNORE, LabelEncoding
from pipelines.data.readers.camvid import CamVidSettings
from pipelines.data.readers.carla import CarlaSettings
from pipelines.data.readers.cityscapes import CityscapesSettings
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.readers.folder import FolderSettings
from pipelines.data.readers.gta5 import Gta5Settings
from pipelines.data.readers.idd_lite import IddLiteSettings
from pipelines.data.readers.layout import BadFrames, Frame
from pipelines.data.readers.pseudo_labelled import PseudoLabelledSettings
from pipelines.data.readers.synthia import SynthiaSettings
from pipelines.data.readers.translated import TranslatedSettings
from pipelines.data.selection.drives import drives_of
from pipelines.errors import NoInputsError, UserError
from segment.class_groups import Groups

AnyFrameSetSettings = Annotated[
    Gta5Settings
    | CarlaSettings
    | SynthiaSettings
    | CityscapesSettings
    | CamVidSettings
    | IddLiteSettings
    | FolderSettings
    | TranslatedSettings
    | PseudoLabelledSettings
    | ToyWorldSettings,
    Field(discriminator="reader"),
]
"""Settings of one data set; the key `reader` says which kind it is."""


@dataclass(frozen=True)
class FrameSet:
    """The frames of one data set in name order. Nothing is read before it is asked for."""

    name: str
    root: Path
    frames: list[Frame]
    unpaired_labels: list[Path]
    notes: tuple[str, ...] = ()
    unread: tuple[Frame, ...] = ()
    """Images among the others whose formats are not read."""
    left_out: int = 0
    """Frames that the settings pass over: `frames`, `exclude`, `every`, `frames_per_drive`, `first`."""
    bad_frames: BadFrames = "refuse"
    """What happens with frames that cannot be used."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Those that were left out as such, by name, with what is wrong on one line."""

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def labelled(self) -> bool:
        """Whether every frame has a label map."""
        return bool(self.frames) and all(frame.label is not None for frame in self.frames)

    @property
    def encodings(self) -> set[LabelEncoding]:
        """How the label maps are written; several where frames differ (those of a translated set may)."""
        return {frame.encoding for frame in self.frames if frame.encoding is not None}

    @property
    def encoding(self) -> LabelEncoding | None:
        """The one way in which all label maps are written; None without labels, or where frames differ."""
        encodings = self.encodings
        return encodings.pop() if len(encodings) == 1 else None

    @property
    def drives(self) -> list[str]:
        """The drive of each frame, as its name tells, or else the stretch of consecutive frames that it is in."""
        return drives_of([frame.name for frame in self.frames], [frame.drive for frame in self.frames])

    def only_labelled(self) -> "FrameSet":
        """The frames that have a label map."""
        return replace(self, frames=[frame for frame in self.frames if frame.label is not None])

    def merging(self, groups: Groups) -> "FrameSet":
        """The same frames, whose label maps are read with each class of a group as the group's lowest."""
        read = {encoding: encoding.merging(groups) for encoding in self.encodings}
        if all(merging is encoding for encoding, merging in read.items()):
            return self
        return replace(
            self,
            frames=[
                frame if frame.encoding is None else replace(frame, encoding=read[frame.encoding])
                for frame in self.frames
            ],
        )

    def full_name(self, frame: Frame) -> str:
        """What one of its frames is called among those of several sets: the set's name before its own."""
        return f"{self.name}/{frame.name}"

    def has_label_map(self, index: int) -> bool:
        """Whether the frame has a label map."""
        return self.frames[index].label is not None

    def shows_a_class(self) -> bool:
        """Whether any label map has a pixel that counts; they are read up to the first that has, mostly one.

        Raises:
            ImageError: A label map on the way there cannot be used.
        """
        places = (index for index in range(len(self)) if self.has_label_map(index))
        return any((self.read_label_map(index) != IGNORE).any() for index in places)

    def read_image(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3) RGB; ImageError if the file cannot be used."""
        return read_image(self.frames[index].image)

    def read_label_map(self, index: int) -> np.ndarray:
        """uint8 (H, W) of train ids, 255 = ignore; of the same size as the image.

        Raises:
            ImageError: The label file cannot be used, holds unknown values, or differs in size from the image.
            UserError: The frame has no label map.
        """
        frame = self.frames[index]
        if frame.label is None or frame.encoding is None:
            raise UserError(f"{frame.image}: frame {frame.name!r} of data set {self.name!r} has no label map")
        label_map = frame.encoding.decode(frame.label)
        width, height = image_size(frame.image)
        if label_map.shape != (height, width):
            raise image_error(
                frame.label,
                f"the label map is {label_map.shape[1]}x{label_map.shape[0]}, "
                f"its image {frame.image} is {width}x{height}; both must be of one size",
            )
        return label_map


def open_frame_set(settings: AnyFrameSetSettings, data: Path) -> FrameSet:
    """Find the frames of a data set; only their names are looked at.

    Args:
        settings: Which data set, and where in `data` it is.
        data: Folder that relative roots start from (the option --data).

    Raises:
        UserError: The folder is missing, or its contents contradict the settings.
        NoInputsError: It holds no frame.
    """
    found, root = settings.find(data), settings.folder(data)
    if not found.frames:
        raise NoInputsError(f"{root}: no frame of data set {settings.name!r} can be used: {'; '.join(found.notes)}")
    meant = settings.meant(found.frames, root)
    frames = settings.selected([replace(frame, drive=settings.drive_of(frame.name)) for frame in meant])
    left_out = len(found.frames) - len(frames)
    unread = () if left_out else found.unread  # a selection is a selection of what can be read
    return FrameSet(
        settings.name,
        root,
        frames,
        found.unpaired_labels,
        found.notes,
        unread,
        left_out,
        settings.bad_frames,
    )
