"""A set whose labels trained networks gave it (`sim2real segment pseudo-label`): images elsewhere, labels here.

The manifest names every image, as its own set does; what is chosen of the labels is written last, and says that the set
is whole.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from pipelines.data.labels.encodings import cityscapes
from pipelines.data.manifest import MANIFEST, ManifestEntry, read_manifest
from pipelines.data.readers.layout import Found, Frame, LayoutSettings
from pipelines.errors import NoInputsError, UserError

LABELS, CHOSEN = PurePosixPath("labels"), "pseudo_labels.json"
"""In the set's folder: its label maps, and what was chosen."""


class PseudoLabelledSettings(LayoutSettings):
    """Settings of a set of pseudo-labels."""

    reader: Literal["pseudo_labelled"]
    name: str = "pseudo_labelled"
    images: str
    """Folder that the images lie in, the root of the set that was labelled; relative to --data, or absolute."""

    def find(self, data: Path) -> Found:
        """All frames of the manifest.

        Raises:
            UserError: The set is missing or unfinished, or its images are not where `images` says.
            NoInputsError: The manifest is empty.
        """
        root, images = self.folder(data), data / Path(self.images).expanduser()
        frames = []
        for entry in finished(root):
            image = images / entry.source
            if not image.is_file():
                raise UserError(
                    f"{image}: the image of {entry.frame!r} in {root} is not there; set `images` of data set "
                    f"{self.name!r} to the root of the frames that were labelled"
                )
            frames.append(labelled_frame(root, entry.frame, image))
        return Found(frames, [])


def finished(root: Path) -> list[ManifestEntry]:
    """The frames of a whole set, in name order.

    Raises:
        UserError: It is missing or unfinished.
        NoInputsError: It has none.
    """
    if not (root / CHOSEN).is_file():
        raise UserError(f"{root}: no finished set of pseudo-labels; write it by `sim2real segment pseudo-label`")
    entries = read_manifest(root / MANIFEST)
    if not entries:
        raise NoInputsError(f"{root / MANIFEST}: the manifest lists no frame")
    return sorted(entries, key=lambda entry: entry.frame)


def labelled_frame(root: Path, name: str, image: Path) -> Frame:
    """A frame of the set in `root`, whose image lies elsewhere."""
    return Frame(name, image, root / LABELS / f"{name}.png", cityscapes("labelTrainIds"))
