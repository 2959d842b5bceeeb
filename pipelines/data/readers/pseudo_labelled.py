"""A set whose labels trained networks gave it (`sim2real segment pseudo-label`): images elsewhere, labels here.

The manifest names every image, as its own set does; what is chosen of the labels is written last, and says that the set
is whole.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from pipelines.data.disk.files import sha256_of
from pipelines.data.disk.json_files import parse_json
from pipelines.data.disk.manifest import MANIFEST, ManifestEntry, read_manifest
from pipelines.data.labels.encodings import cityscapes
from pipelines.data.readers.layout import Found, Frame, ListedSettings
from pipelines.errors import NoInputsError, UserError
from pipelines.settings import FilePath

LABELS, CHOSEN = PurePosixPath("labels"), "pseudo_labels.json"
"""In the set's folder: its label maps, and what was chosen."""
WAY_OUT = "write it by `sim2real segment pseudo-label`"


class PseudoLabelledSettings(ListedSettings):
    """Settings of a set of pseudo-labels."""

    reader: Literal["pseudo_labelled"]
    name: str = "pseudo_labelled"
    images: FilePath
    """Folder that the images lie in, the root of the set that was labelled; relative to --data, or absolute."""

    def find(self, data: Path) -> Found:
        """All frames of the manifest.

        Raises:
            UserError: The set is missing or unfinished, or its images are not where `images` says.
            NoInputsError: The manifest is empty.
        """
        root, images = self.folder(data), data / self.images
        frames = []
        for entry, label_sha256 in finished(root):
            image = images / entry.source
            if not image.is_file():
                raise UserError(
                    f"{image}: the image of {entry.frame!r} in {root} is not there; set `images` of data set "
                    f"{self.name!r} to the root of the frames that were labelled"
                )
            frame = labelled_frame(root, entry.frame, image)
            frames.append(replace(frame, image_sha256=entry.source_sha256, label_sha256=label_sha256))
        return Found(frames, [])


def finished(root: Path) -> list[tuple[ManifestEntry, str | None]]:
    """The frames of a whole set, in name order, each with the SHA-256 of its label map as it was written.

    Raises:
        UserError: It is missing or unfinished; also where labels were chosen and frames labelled anew since.
        NoInputsError: It has none.
    """
    try:
        chosen = parse_json((root / CHOSEN).read_bytes())
        of_manifest, hashes = chosen["identity"]["manifest_sha256"], dict(chosen["labels_sha256"])
    except FileNotFoundError as error:
        raise UserError(f"{root}: no finished set of pseudo-labels; {WAY_OUT}") from error
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{root / CHOSEN}: cannot be read as what was chosen of the labels; {WAY_OUT}") from error
    if of_manifest != sha256_of(root / MANIFEST):
        raise UserError(f"{root}: labels were chosen of other frames than its {MANIFEST} lists; {WAY_OUT}")
    entries = read_manifest(root / MANIFEST)
    if not entries:
        raise NoInputsError(f"{root / MANIFEST}: the manifest lists no frame")
    return [(entry, hashes.get(entry.frame)) for entry in sorted(entries, key=lambda entry: entry.frame)]


def labelled_frame(root: Path, name: str, image: Path) -> Frame:
    """A frame of the set in `root`, whose image lies elsewhere."""
    return Frame(name, image, root / LABELS / f"{name}.png", cityscapes("labelTrainIds"))
