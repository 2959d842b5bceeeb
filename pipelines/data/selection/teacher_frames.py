"""Source frames beside their translations by a teacher, matched by name and never by place.

REGEN and HyPER-GAN (Pasios and Nikolaidis, 2026) learn from such pairs. A set that our translator wrote has a manifest
and names its frames as the sources are named; another tool's folder holds files of the same names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.data.disk.manifest import JOURNAL, MANIFEST, read_manifest
from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.readers.folder import FolderSettings
from pipelines.data.readers.layout import Frame
from pipelines.errors import UserError

NAMES: tuple[Callable[[FrameSet, Frame], str], ...] = (
    FrameSet.full_name,
    lambda frames, frame: frame.name,
    lambda frames, frame: frame.image.stem,
)
"""What a source frame's translation may be called: as our sets call it, as its own set does, or as its file alone."""


@dataclass(frozen=True)
class TeacherFrames:
    """As many translations as source frames, in one order."""

    sources: tuple[FrameSet, ...]
    translated: tuple[FrameSet, ...]


def find_teacher_frames(folder: Path, sources: Sequence[FrameSet]) -> TeacherFrames:
    """The pairs of all source frames; of frames without labels, beside others that have some, those that there are.

    Args:
        folder: A set that our translator wrote, or any folder of images.
        sources: What was translated.

    Raises:
        UserError: The folder is missing or not finished, a frame has no translation, or two have the same.
    """
    found = _translations(folder)
    name_of = max(NAMES, key=lambda name: sum(name(one, frame) in found for one, frame in _all(sources)))  # the first
    some_labelled = any(frame.label is not None for _, frame in _all(sources))
    missing = [
        name_of(one, frame)
        for one, frame in _all(sources)
        if name_of(one, frame) not in found and (frame.label is not None or not some_labelled)
    ]
    if missing:
        raise UserError(
            f"{folder}: no translation of source frame {missing[0]!r}; {len(missing)} of "
            f"{sum(len(one) for one in sources)} frames are missing by name. Translate them too, or choose another "
            "translator.teacher"
        )
    kept_sources, kept_translated, taken = [], [], set()
    for frames in sources:
        pairs = [(frame, name_of(frames, frame)) for frame in frames.frames if name_of(frames, frame) in found]
        for _, name in pairs:
            if name in taken:
                raise UserError(
                    f"{folder}: {name!r} is the name of two source frames; a teacher's folder must tell them apart, as "
                    "SET/FRAME"
                )
            taken.add(name)
        if pairs:
            kept_sources.append(replace(frames, frames=[frame for frame, _ in pairs]))
            translated = [Frame(name, found[name]) for _, name in pairs]
            kept_translated.append(FrameSet(f"teacher of {frames.name}", folder, translated, []))
    return TeacherFrames(tuple(kept_sources), tuple(kept_translated))


def _all(sources: Sequence[FrameSet]) -> list[tuple[FrameSet, Frame]]:
    return [(frames, frame) for frames in sources for frame in frames.frames]


def _translations(folder: Path) -> dict[str, Path]:
    """Translated images by name."""
    if not folder.is_dir():
        raise UserError(f"translator.teacher: {folder} is not there; expected a translator or a folder of its frames")
    if (folder / MANIFEST).exists():
        return {entry.frame: folder / entry.image for entry in read_manifest(folder / MANIFEST)}
    if (folder / JOURNAL).exists():
        raise UserError(f"{folder}: its translation was stopped half-way; run the command that began it again")
    return {
        frame.name: frame.image for frame in open_frame_set(FolderSettings(reader="folder", root="."), folder).frames
    }
