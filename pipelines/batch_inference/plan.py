"""The plan of a translation: which file becomes which, decided and checked before anything is written.

Names are mirrored folder by folder. Tools that name their results after the bare file name let `seq1/0.png` and
`seq2/0.png` overwrite each other; here every collision, and every overlap of input and output, is refused up front.
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from pipelines.data.disk.manifest import JOURNAL, MANIFEST
from pipelines.data.disk.ownership import ANOTHER_PLACE
from pipelines.data.frames import FrameSet
from pipelines.data.images import ENCODERS
from pipelines.data.readers.layout import FOLDER_NAMES, Frame, distinct_names, is_folder_name
from pipelines.data.selection.listing import read_listing
from pipelines.errors import ImageError, UserError


@dataclass(frozen=True)
class Sidecar:
    """A file that goes along with a frame unread: where it is, and where its copy goes in the output folder."""

    path: Path
    output: PurePosixPath


@dataclass(frozen=True)
class PlannedFrame:
    """What to read and where to write: `source` is relative to its set's root, the outputs to the output folder."""

    name: str
    image: Path
    source: PurePosixPath
    output_image: PurePosixPath
    label: Path | None = None
    label_encoding: Mapping[str, JsonValue] | None = None
    output_label: PurePosixPath | None = None
    sidecars: tuple[Sidecar, ...] = ()
    output_overlay: PurePosixPath | None = None
    """A second picture that is made of the image; of predictions."""

    def __post_init__(self) -> None:
        if len({self.label is None, self.label_encoding is None, self.output_label is None}) > 1:
            raise ValueError(f"Frame {self.name!r}: label, label_encoding and output_label go together")

    @property
    def file_pairs(self) -> list[tuple[Path, PurePosixPath]]:
        """Every file that is read, with the file that is made of it."""
        overlay = [] if self.output_overlay is None else [(self.image, self.output_overlay)]
        return [(self.image, self.output_image), *overlay, *self.carried]

    @property
    def carried(self) -> list[tuple[Path, PurePosixPath]]:
        """Every file that goes along untouched, with the place of its copy."""
        label = [] if self.label is None or self.output_label is None else [(self.label, self.output_label)]
        return [*label, *((side.path, side.output) for side in self.sidecars)]


def plan_listing(listing: Path, suffix: str | None = None) -> list[PlannedFrame]:
    """The images that a list file names, mirrored under the paths that it gives; one that is missing fails when its
    turn comes.

    Raises:
        UserError: The list is wrong, or two images would be written to one file.
    """
    sources = read_listing(listing)
    names = distinct_names([(str(source.with_suffix("")), str(source)) for source in sources])
    frames = [
        _of_file(Frame(name, listing.parent / source), listing.parent, suffix)
        for name, source in zip(names, sources, strict=True)
    ]
    refuse_collisions(frames)
    return frames


def plan_image(image: Path, suffix: str | None = None) -> list[PlannedFrame]:
    """A single image."""
    return [_of_file(Frame(image.stem, image), image.parent, suffix)]


def _of_file(frame: Frame, root: Path, suffix: str | None) -> PlannedFrame:
    source = PurePosixPath(frame.image.relative_to(root))
    return PlannedFrame(frame.name, frame.image, source, _with_suffix(source, suffix))


def plan_set(frame_set: FrameSet, output: Path, suffix: str | None = None) -> list[PlannedFrame]:
    """Every frame of one data set, images and label maps mirrored under their own paths relative to its root.

    Images in formats that are not read are planned too: each fails when its turn comes, and is listed with its reason.

    Args:
        frame_set: The set.
        output: Folder that will be written; neither it nor the set's may hold the other.
        suffix: Of the translated images, a key of ENCODERS; None: each keeps its own.

    Raises:
        UserError: Folders within each other, or two images that would be written to one file.
    """
    _refuse_nested_set(frame_set, output)
    frames = [_planned(frame_set, index, suffix, PurePosixPath()) for index in range(len(frame_set))]
    frames += [_of_file(frame, frame_set.root, suffix) for frame in frame_set.unread]
    refuse_collisions(frames)
    return frames


def plan_sets(sets: Sequence[FrameSet], output: Path, suffix: str | None = ".png") -> list[PlannedFrame]:
    """Every frame of data sets, each set in a folder of its name, images and label maps under their own relative paths.

    Raises:
        UserError: As `plan_set`; also two sets of one name, or a name that cannot be a folder's.
    """
    frames: list[PlannedFrame] = []
    for frame_set in sets:
        _refuse_nested_set(frame_set, output)
        if not is_folder_name(frame_set.name):
            raise UserError(f"Data set {frame_set.name!r}: a folder gets its name; {FOLDER_NAMES}")
        folder = PurePosixPath(frame_set.name)
        frames += [_planned(frame_set, index, suffix, folder) for index in range(len(frame_set))]
    names = [frame_set.name for frame_set in sets]
    if len(set(names)) < len(names):
        raise UserError(f"Data sets {', '.join(names)}: two have one name; give each its own setting `name`")
    refuse_collisions(frames)
    return frames


def _planned(frame_set: FrameSet, index: int, suffix: str | None, folder: PurePosixPath) -> PlannedFrame:
    frame = frame_set.frames[index]
    source = PurePosixPath(frame.image.relative_to(frame_set.root))
    name, output_image = str(folder / frame.name), folder / _with_suffix(source, suffix)
    if frame.label is None or frame.encoding is None:
        return PlannedFrame(name, frame.image, source, output_image)
    output_label = folder / frame.label.relative_to(frame_set.root)
    return PlannedFrame(name, frame.image, source, output_image, frame.label, frame.encoding.to_json(), output_label)


def _with_suffix(path: PurePosixPath, suffix: str | None) -> PurePosixPath:
    if suffix is None:
        return path
    if suffix not in ENCODERS:
        raise UserError(f"suffix = {suffix!r}: translated images are written as one of {', '.join(ENCODERS)}")
    return path.with_suffix(suffix)


def with_sidecars(
    frames: Sequence[PlannedFrame], root: Path, patterns: Sequence[str]
) -> tuple[list[PlannedFrame], dict[str, int]]:
    """Frames with the files that belong to them: instance maps, depth, boxes, whatever a pattern finds.

    Args:
        frames: From one of the plans above.
        root: Folder that the patterns start from; the copies lie at the same places in the output folder.
        patterns: Relative paths that hold "{name}" for the frame's name, such as "instance/{name}.png".

    Returns:
        The frames, and for each pattern the number of frames that have no such file.

    Raises:
        UserError: A pattern without "{name}" or leading out of `root`, one that no frame has a file for, or two files
            that would be written to one.
    """
    absent: dict[str, int] = {}
    for pattern in patterns:
        if "{name}" not in pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise UserError(
                f"--carry {pattern}: expected a path relative to the input with {{name}} in it, "
                "such as --carry 'instance/{name}.png'"
            )
        carried = [_with_sidecar(frame, root, pattern) for frame in frames]
        absent[pattern] = sum(before is after for before, after in zip(frames, carried, strict=True))
        if absent[pattern] == len(frames):
            example = root / pattern.replace("{name}", frames[0].name)
            raise UserError(f"--carry {pattern}: no frame has such a file; {example} is not there, for one")
        frames = carried
    refuse_collisions(frames)
    return list(frames), absent


def _with_sidecar(frame: PlannedFrame, root: Path, pattern: str) -> PlannedFrame:
    output = PurePosixPath(pattern.replace("{name}", frame.name))
    if not (root / output).is_file():
        return frame
    return replace(frame, sidecars=(*frame.sidecars, Sidecar(root / output, output)))


def refuse_nested(input: Path, output: Path) -> None:
    """Refuse folders that hold each other: a second run would take the first one's output for input."""
    read, written = resolved(input), resolved(output)
    if read == written or read in written.parents or written in read.parents:
        how = "are the same folder" if read == written else "lie within each other"
        raise UserError(f"Input {input} and output {output} {how}; choose an --output beside the input")


def _refuse_nested_set(frame_set: FrameSet, output: Path) -> None:
    """Refuse what `refuse_nested` does, of the set's folder and of every one in it: it may be a link to elsewhere.

    Refused as well are images outside the set's folder, as those of pseudo-labels are: they have no place in a mirror.
    """
    for frame in frame_set.frames:
        if not frame.image.is_relative_to(frame_set.root):
            raise UserError(
                f"Data set {frame_set.name!r}: {frame.image} is outside its folder {frame_set.root}, so its "
                "translation has no place; name the set that the images belong to"
            )
    images = [frame.image.relative_to(frame_set.root) for frame in (*frame_set.frames, *frame_set.unread)]
    for folder in sorted({Path()}.union(*(image.parents for image in images))):
        refuse_nested(frame_set.root / folder, output)


OF_THE_RECORD = {MANIFEST, JOURNAL, "failures.jsonl", "translation.json", "prediction.json"}
"""What the output folder tells of itself; all at its top."""


def refuse_collisions(frames: Sequence[PlannedFrame]) -> None:
    """No two files may get one name, not even on a disk that ignores case or composes accents; nor a folder's name,
    nor that of what the output folder tells of itself.

    Raises:
        UserError: Naming the first two.
    """
    owners: dict[str, Path] = {}
    for frame in frames:
        for source, output in frame.file_pairs:
            if (top := _folded(output).partition("/")[0]) in OF_THE_RECORD:
                raise UserError(
                    f"{source} would be written to {output}, and {top} is where the output's own record goes; rename it"
                )
            if _folded(output) in owners:
                other = owners[_folded(output)]
                raise UserError(
                    f"{other} and {source} would both be written to {output}; rename one, or make two runs of "
                    "them with an --output each"
                )
            owners[_folded(output)] = source
    for folded, source in owners.items():
        for folder in map(str, PurePosixPath(folded).parents):
            if folder in owners:
                raise UserError(
                    f"{owners[folder]} would be written to {folder}, a folder that {source} needs; rename one"
                )


def _folded(path: PurePosixPath) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", str(path)).casefold())


def refuse_unwritable_name(frame: PlannedFrame) -> None:
    """ImageError where a frame's name is no UTF-8: neither a manifest nor a list of failures could say it."""
    try:
        str(frame.output_image).encode()
    except UnicodeEncodeError as error:
        raise ImageError(f"{str(frame.image)!a}: the name is not valid UTF-8; rename the file") from error


def refuse_touching_inputs(frames: Sequence[PlannedFrame], output: Path) -> None:
    """Refuse an output folder whose links would lead a write out of it, least of all onto an input.

    Raises:
        UserError: Naming the first such file.
    """
    inputs = {resolved(read) for frame in frames for read, _ in frame.file_pairs}
    root = resolved(output)
    outputs = [written for frame in frames for _, written in frame.file_pairs]
    folders = {folder: resolved(root / folder) for folder in {path.parent for path in outputs}}
    for path in outputs:
        folder = folders[path.parent]
        if not folder.is_relative_to(root) or folder / path.name in inputs:
            raise UserError(f"{output / path}: would be written to {folder}, over other data; choose {ANOTHER_PLACE}")


def resolved(path: Path) -> Path:
    """A path without links, as far as they lead anywhere: whoever reads or writes there is told of those that do not.

    `Path.resolve` raises RuntimeError for a link that leads to itself.
    """
    return Path(os.path.realpath(path))
