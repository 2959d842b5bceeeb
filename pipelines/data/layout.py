"""How the files of a data set lie in its folders, and which label belongs to which image.

An image and its label are matched by name, never by their places in two sorted lists: one file missing would shift
every pair after it, and nothing would say so.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from pydantic import PositiveInt, field_validator

from pipelines.data.encodings import LabelEncoding
from pipelines.data.images import IMAGE_SUFFIXES
from pipelines.errors import NoInputsError, UserError
from pipelines.settings import Settings

IMAGE_SUFFIX = "|".join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)


@dataclass(frozen=True)
class Frame:
    """An image on disk with its label map, if any.

    `name` is unique in its set, free of suffixes, with "/" between folders ("aachen/aachen_000000_000019").
    """

    name: str
    image: Path
    label: Path | None = None
    encoding: LabelEncoding | None = None


@dataclass(frozen=True)
class Found:
    """What a search of a data set's folders brought up; frames in name order."""

    frames: list[Frame]
    unpaired_labels: list[Path]
    notes: tuple[str, ...] = ()


class LayoutSettings(Settings):
    """What the settings of every data set have in common."""

    name: str
    """What reports call the set."""
    root: str
    """Folder of the set, relative to --data, or absolute."""
    first: PositiveInt | None = None
    """Use only so many frames, the first in name order (counted after `every`)."""
    every: PositiveInt = 1
    """Use every n-th frame in name order: neighbours in a drive are alike."""

    def folder(self, data: Path) -> Path:
        """The set's folder; UserError where it is missing."""
        folder = data / Path(self.root).expanduser()
        if not folder.is_dir():
            raise UserError(
                f"{folder}: the folder of data set {self.name!r} does not exist. Change its setting `root`, or --data"
            )
        return folder

    def selected(self, frames: list[Frame]) -> list[Frame]:
        """The frames that `every` and `first` leave."""
        return list(islice(frames[:: self.every], self.first))


class PatternSettings(LayoutSettings):
    """A set whose images and labels follow two patterns.

    A pattern is a path relative to the root. "{name}" stands for the frame's name and may span folders; a final ".*"
    for any image suffix; "{split}" and the like for the setting of that name. `labels` may be empty: none are used.
    """

    images: str
    labels: str = ""

    @field_validator("images", "labels")
    @classmethod
    def _has_one_name(cls, pattern: str) -> str:
        if pattern and pattern.count("{name}") != 1:
            raise ValueError(f"the pattern {pattern!r} must hold {{name}} once, as in 'images/{{name}}.png'")
        if pattern.startswith("/") or ".." in pattern.split("/"):
            raise ValueError(f"the pattern {pattern!r} must be relative to the root and stay inside")
        unknown = [word for word in re.findall(r"{(.*?)}", pattern) if word != "name" and word not in cls.model_fields]
        if unknown:
            raise ValueError(f"the pattern {pattern!r} holds {{{unknown[0]}}}, which is no setting of this data set")
        return pattern

    @field_validator("images")
    @classmethod
    def _not_empty(cls, pattern: str) -> str:
        if not pattern:
            raise ValueError("the pattern of the images must not be empty")
        return pattern

    def label_encoding(self) -> LabelEncoding | None:
        """How the labels of this set are written; None where it has none."""
        return None

    def find(self, data: Path) -> Found:
        """All frames of the set.

        Raises:
            UserError: The root is missing, or two images have one name.
            NoInputsError: No image follows the pattern.
        """
        root = self.folder(data)
        images = self._matches(root, self.images)
        if not images:
            raise NoInputsError(
                f"{root}: no image of data set {self.name!r} matches {self._filled(self.images)!r} (setting `images`)"
            )
        labels = self._matches(root, self.labels) if self.labels else {}
        encoding = self.label_encoding()
        frames = [
            Frame(name, image, labels.get(name), encoding if name in labels else None)
            for name, image in sorted(images.items())
        ]
        unpaired = [label for name, label in sorted(labels.items()) if name not in images]
        return Found(frames, unpaired, self._notes(labels))

    def _notes(self, labels: dict[str, Path]) -> tuple[str, ...]:
        if self.labels and not labels:
            return (f"no label matches {self._filled(self.labels)!r}: the set is used without labels",)
        return ()

    def _filled(self, pattern: str) -> str:
        """The pattern with every placeholder but {name} replaced by its setting."""
        return re.sub(r"{(?!name})(\w+)}", lambda match: str(getattr(self, match[1])), pattern)

    def _matches(self, root: Path, pattern: str) -> dict[str, Path]:
        """Frame name -> file, for all files under `root` that follow the pattern."""
        pattern = self._filled(pattern)
        expression = _expression(pattern)
        prefix = pattern[: pattern.index("{name}")]
        start = root / prefix[: prefix.rfind("/") + 1]
        found: dict[str, Path] = {}
        for path in files_below(start):
            match = expression.fullmatch(path.relative_to(root).as_posix())
            if match is None:
                continue
            if match[1] in found:
                raise UserError(f"{path} and {found[match[1]]}: two files for the frame {match[1]!r}; remove one")
            found[match[1]] = path
        return found


def _expression(pattern: str) -> re.Pattern[str]:
    """Regular expression of a filled-in pattern; group 1 is the frame's name."""
    before, after = pattern.split("{name}")
    ending = re.escape(after[:-2]) + f"(?i:{IMAGE_SUFFIX})" if after.endswith(".*") else re.escape(after)
    return re.compile(re.escape(before) + "(.+)" + ending, re.DOTALL)


def files_below(folder: Path, ancestors: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Path]:
    """Every file below a folder but hidden ones, in no order; links to folders are followed. None if it is missing."""
    if not folder.is_dir():
        return
    status = folder.stat()
    if (status.st_dev, status.st_ino) in ancestors:  # a link to a folder that holds it
        return
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot list the folder: {error.strerror}. Check its permissions") from error
    for entry in visible:
        if _is_folder(entry):
            yield from files_below(folder / entry.name, ancestors | {(status.st_dev, status.st_ino)})
        else:
            yield folder / entry.name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one. A link that leads to itself is neither; reading it will say so."""
    try:
        return entry.is_dir()
    except OSError:
        return False
