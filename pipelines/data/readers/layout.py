"""How the files of a data set lie in its folders, and which label belongs to which image.

An image and its label are matched by name, never by their places in two sorted lists: one file missing would shift
every pair after it, and nothing would say so.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, Self

from pydantic import PositiveInt, field_validator, model_validator

from pipelines.data.images import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from pipelines.data.labels.encodings import LabelEncoding
from pipelines.data.readers.frame_names import named, read_frame_list
from pipelines.data.selection.drives import drives_of, evenly_of_drives
from pipelines.errors import NoInputsError, UserError
from pipelines.settings import FilePath, Settings

IMAGE_SUFFIX = "|".join(re.escape(suffix) for suffix in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES))
ANY_IMAGE = "{name}.*"
"""The pattern of every image in a folder and below it."""

BadFrames = Literal["refuse", "leave_out"]

FOLDER_NAMES = "choose a name without '/' and leading '.'"
"""What to do about a set's name that `is_folder_name` refuses."""


def is_folder_name(name: str) -> bool:
    """Whether a set's name can be that of a folder, for its translated frames."""
    return name != "" and "/" not in name and not name.startswith(".")


@dataclass(frozen=True)
class Frame:
    """An image on disk with its label map, if any.

    `name` is unique in its set, with "/" between folders ("aachen/aachen_000000_000019"). It has no suffix, but where
    images differ in nothing else ("a.jpg", "a.png"). `drive` is the recording that it is of, None where names do not
    tell (`pipelines.data.selection.drives`).
    """

    name: str
    image: Path
    label: Path | None = None
    encoding: LabelEncoding | None = None
    image_sha256: str | None = None
    """As the set's manifest has it; None where there is none. `label_sha256` likewise."""
    label_sha256: str | None = None
    drive: str | None = None


@dataclass(frozen=True)
class Found:
    """What a search of a data set's folders brought up; frames in name order.

    `unread` are the images that follow the pattern and are in a format that is not read.
    """

    frames: list[Frame]
    unpaired_labels: list[Path]
    notes: tuple[str, ...] = ()
    unread: tuple[Frame, ...] = ()


class LayoutSettings(Settings):
    """What the settings of every data set have in common."""

    name: str
    """What reports call the set."""
    root: FilePath
    """Folder of the set, relative to --data, or absolute."""
    first: PositiveInt | None = None
    """Use only so many frames, the first in name order (counted after `every` and `frames_per_drive`)."""
    every: PositiveInt = 1
    """Use every n-th frame in name order: neighbours in a drive are alike."""
    frames_per_drive: PositiveInt | None = None
    """Use at most so many frames of each drive, evenly spread (counted after `every`)."""
    exclude: tuple[str, ...] = ()
    """Frames that are not used: names, paths of images in the set, or globs; see `frame_names`. One that means no frame
    is an error."""
    bad_frames: BadFrames = "refuse"
    """What happens with frames whose image or label map cannot be used (damaged, unknown ids, two sizes): "refuse" all
    before anything is computed, or "leave_out" those, counted and named in records. They are counted by `first`."""

    def folder(self, data: Path) -> Path:
        """The set's folder; UserError where it is missing."""
        folder = data / self.root
        if not folder.is_dir():
            raise UserError(
                f"{folder}: the folder of data set {self.name!r} does not exist. Change its setting `root`, or --data"
            )
        return folder

    def label_encoding(self) -> LabelEncoding | None:
        """How the labels of this set are written, as far as its settings tell; None where it has none."""
        return None

    def drive_of(self, name: str) -> str | None:
        """The drive that a frame is of, as its name tells; None where names of this set do not tell."""
        return None

    def meant(self, frames: list[Frame], root: Path) -> list[Frame]:
        """The frames that the settings mean by name: all but `exclude`.

        Args:
            frames: All that were found.
            root: The set's folder.

        Raises:
            UserError: The settings name a frame that is not there.
            NoInputsError: None is left.
        """
        unwanted = named(_images(frames), self.exclude, root, f"data set {self.name!r}, exclude")
        kept = [frame for frame in frames if frame.name not in unwanted]
        if frames and not kept:
            raise NoInputsError(f"data set {self.name!r}: exclude leaves none of its {len(frames)} frames")
        return kept

    def selected(self, frames: list[Frame]) -> list[Frame]:
        """The frames that `every`, `frames_per_drive` and `first` leave."""
        kept = frames[:: self.every]
        if self.frames_per_drive is not None:
            drives = drives_of([frame.name for frame in kept], [frame.drive for frame in kept])
            kept = [kept[place] for place in evenly_of_drives(drives, self.frames_per_drive)]
        return list(islice(kept, self.first))


class ListedSettings(LayoutSettings):
    """A set of which a list file may choose frames."""

    frames: FilePath | None = None
    """File that lists the frames to use, as `exclude` names them, one a line; relative to the root, or absolute. What
    it chooses decides an outcome, not the file's place."""

    def meant(self, frames: list[Frame], root: Path) -> list[Frame]:
        """The frames that `frames` lists, or all, but `exclude`; errors as of `LayoutSettings`, and of the list."""
        if self.frames is not None:
            path = root / self.frames
            wanted = named(_images(frames), read_frame_list(path), root, f"{path} of data set {self.name!r}")
            frames = [frame for frame in frames if frame.name in wanted]
        return super().meant(frames, root)


def _images(frames: Sequence[Frame]) -> dict[str, Path]:
    return {frame.name: frame.image for frame in frames}


class PatternSettings(ListedSettings):
    """A set whose images and labels follow two patterns.

    A pattern is a path relative to the root. "{name}" stands for the frame's name and may span folders; a final ".*"
    for any image suffix; "{split}" and the like for the setting of that name. `labels` may be empty: none are used.
    """

    images: str
    labels: str = ""

    of_patterns: ClassVar[tuple[str, ...]] = ()
    """Settings that nothing but the patterns reads."""

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
        return pattern and PurePosixPath(pattern).as_posix()  # without "./" and "//", which no found path has

    @field_validator("images")
    @classmethod
    def _not_empty(cls, pattern: str) -> str:
        if not pattern:
            raise ValueError("the pattern of the images must not be empty")
        return pattern

    @model_validator(mode="after")
    def _patterns_hold_what_is_chosen(self) -> Self:
        # Or two sets of two splits would silently be the same frames, to train and to validate on.
        for setting in self.of_patterns:
            chosen = getattr(self, setting)
            if chosen != type(self).model_fields[setting].default and f"{{{setting}}}" not in self.images + self.labels:
                raise ValueError(
                    f"{setting} = {chosen!r} chooses nothing: images = {self.images!r} does not hold {{{setting}}}; "
                    "put it there, or choose by a list (`frames`)"
                )
        return self

    def find(self, data: Path) -> Found:
        """All frames of the set.

        Raises:
            UserError: The root is missing, or two images have one label map, or one image two.
            NoInputsError: No image that is read follows the pattern.
        """
        return self._found(self.folder(data))

    def _found(self, root: Path, belongs: Callable[[str], bool] = lambda name: True) -> Found:
        """Of the frames and labels that follow the patterns those whose name `belongs` to the set; errors as `find`."""
        images, unread = self._images(root, belongs)
        if not images:
            wanted = f"of data set {self.name!r} matches {self._filled(self.images)!r} (setting `images`)"
            if self.images == ANY_IMAGE:  # the folder may have been given by an option, and settings by nobody
                wanted = "in this folder or below it; expected PNG, JPEG, WebP, BMP or TIFF"
            raise NoInputsError(
                f"{root}: no image {wanted}" + (f"; {_in_unread_formats(list(unread.values()))}" if unread else "")
            )
        labels = self._labels(root, belongs)
        encoding = self.label_encoding()
        frames = [
            Frame(name, image, labels.get(name), encoding if name in labels else None)
            for name, image in sorted(images.items())
        ]
        unpaired = [label for name, label in sorted(labels.items()) if name not in images]
        notes = self._notes(labels) + ((_in_unread_formats(list(unread.values())),) if unread else ())
        return Found(frames, unpaired, notes, tuple(Frame(name, image) for name, image in sorted(unread.items())))

    def _notes(self, labels: dict[str, Path]) -> tuple[str, ...]:
        if self.labels and not labels:
            return (f"no label matches {self._filled(self.labels)!r}: the set is used without labels",)
        return ()

    def _filled(self, pattern: str) -> str:
        """The pattern with every placeholder but {name} replaced by its setting."""
        return re.sub(r"{(?!name})(\w+)}", lambda match: str(getattr(self, match[1])), pattern)

    def _images(self, root: Path, belongs: Callable[[str], bool]) -> tuple[dict[str, Path], dict[str, Path]]:
        """Frame name -> image: of those that are read, and of those that are not."""
        found = self._matches(root, self.images, belongs)
        if self.labels:
            self._refuse_doubles(found, "images")
        names = distinct_names([(name, f"{name}{path.suffix}") for name, path in found])
        images: dict[str, Path] = {}
        unread: dict[str, Path] = {}
        for name, (_, path) in zip(names, found, strict=True):
            (unread if path.suffix.lower() in UNREAD_SUFFIXES else images)[name] = path
        return images, unread

    def _labels(self, root: Path, belongs: Callable[[str], bool]) -> dict[str, Path]:
        """Frame name -> label map."""
        found = self._matches(root, self.labels, belongs) if self.labels else []
        self._refuse_doubles(found, "labels")
        return dict(found)

    def _refuse_doubles(self, found: Sequence[tuple[str, Path]], setting: str) -> None:
        """Where images and labels are matched by name, two of one name would be a guess."""
        seen: dict[str, Path] = {}
        for name, path in found:
            if name in seen:
                raise UserError(
                    f"{path} and {seen[name]}: two files for the frame {name!r}, and no telling which is meant; "
                    f"end the setting `{setting}` with the suffix of the right ones"
                )
            seen[name] = path

    def _matches(self, root: Path, pattern: str, belongs: Callable[[str], bool]) -> list[tuple[str, Path]]:
        """Frame name and file, for all files under `root` that follow the pattern and are of a frame that `belongs`."""
        pattern = self._filled(pattern)
        expression = _expression(pattern)
        prefix = pattern[: pattern.index("{name}")]
        start = root / prefix[: prefix.rfind("/") + 1]
        matches = [(expression.fullmatch(path.relative_to(root).as_posix()), path) for path in files_below(start)]
        return sorted((match[1], path) for match, path in matches if match is not None and belongs(match[1]))


def distinct_names(names: Sequence[tuple[str, str]]) -> list[str]:
    """Frames' names, each given without its suffix and with it: without, where that tells it from all others."""
    chosen = [short for short, _ in names]
    while True:
        count = Counter(chosen)
        clashing = [
            index
            for index, (name, (_, long)) in enumerate(zip(chosen, names, strict=True))
            if count[name] > 1 and name != long
        ]
        if not clashing:
            return chosen
        for index in clashing:
            chosen[index] = names[index][1]


def _in_unread_formats(images: Sequence[Path]) -> str:
    more = f" and {len(images) - 1} more" if len(images) > 1 else ""
    return f"in a format that is not read: {images[0]}{more}; convert to PNG"


def _expression(pattern: str) -> re.Pattern[str]:
    """Regular expression of a filled-in pattern; group 1 is the frame's name. A suffix may be of any case."""
    before, after = pattern.split("{name}")
    stem, suffix = re.fullmatch(r"(.*?)(\.[^./]*)?", after, re.DOTALL).groups(default="")
    ending = f"(?i:{IMAGE_SUFFIX if suffix == '.*' else re.escape(suffix)})"
    return re.compile(re.escape(before) + "(.+)" + re.escape(stem) + ending, re.DOTALL)


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
