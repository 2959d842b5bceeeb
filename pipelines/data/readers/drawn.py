"""Toy world as a data set: its frames are drawn where they are missing, then read like any simulator's or camera's.

The game's frames are read as CARLA 0.9.14 (raw tags), the camera's as Cityscapes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from pipelines.data.readers.carla import CarlaSettings
from pipelines.data.readers.cityscapes import CityscapesSettings
from pipelines.data.readers.layout import Found, Frame, LayoutSettings
from pipelines.data.toyworld.write import DRAWING_VERSION, SMALLEST_SIDE, SPLIT, draw_toy_world, frame_paths
from pipelines.settings import FilePath

Side = Annotated[int, Field(ge=SMALLEST_SIDE)]


class ToyWorldSettings(LayoutSettings):
    """Settings of a drawn set. Two sets are different drives when their seeds or renderers differ."""

    reader: Literal["toyworld"]
    name: str = "toyworld"
    renderer: Literal["game", "camera"]
    frames: PositiveInt
    size: tuple[Side, Side] = (256, 128)
    """Width and height."""
    seed: NonNegativeInt = 0
    root: FilePath = ""
    """Where the frames are kept; named after the settings and the drawing's version where empty."""

    def folder(self, data: Path) -> Path:
        """The set's folder."""
        width, height = self.size
        drawing = f"toyworld-{self.renderer}-{width}x{height}-seed{self.seed}-v{DRAWING_VERSION}"
        return data / (self.root or drawing)

    @property
    def used(self) -> int:
        """How many frames the settings leave, known before any is drawn; all have labels.

        Raises:
            UserError: `exclude` names a frame that will not be there.
            NoInputsError: It leaves none.
        """
        frames = [self._undrawn(index) for index in range(self.frames)]
        return len(self.selected(self.meant(frames, Path())))

    def _undrawn(self, index: int) -> Frame:
        """A frame as it will be found, in a folder that does not count."""
        image, _ = frame_paths(Path(), self.renderer, index)
        city = image.parent.name
        name = image.stem if self.renderer == "game" else f"{city}/{image.stem.removesuffix('_leftImg8bit')}"
        return Frame(name, image, drive=self.drive_of(name))

    def is_drawn(self, data: Path) -> bool:
        """Whether no file of a frame is missing; of which drawing they are is seen by `draw`."""
        folder = self.folder(data)
        return all(file.exists() for index in range(self.frames) for file in frame_paths(folder, self.renderer, index))

    def draw(self, data: Path, progress: Callable[[int], None] | None = None) -> None:
        """Draw the frames that are not there yet; `progress` hears how many are."""
        draw_toy_world(self.folder(data), self.renderer, self.frames, self.size, self.seed, progress=progress)

    def drive_of(self, name: str) -> str:
        """Every frame is one of its own, for each shows another street."""
        return name

    def find(self, data: Path) -> Found:
        """The drawn frames, the first `frames` of them."""
        root = str(self.folder(data))  # `data` is in it already
        if self.renderer == "game":
            found = CarlaSettings(reader="carla", name=self.name, root=root, version="0.9.14").find(Path())
        else:
            found = CityscapesSettings(reader="cityscapes", name=self.name, root=root, split=SPLIT).find(Path())
        return Found(found.frames[: self.frames], found.unpaired_labels, found.notes)
