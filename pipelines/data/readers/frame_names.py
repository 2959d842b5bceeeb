"""Frames that are meant by name: in a list file (`frames`, `labelled_target`) or in the settings (`exclude`).

Other tools' lists name frames in their own ways: by the image's path in the data set, by its file name, by what we call
it. All are understood, as long as they mean one frame; a name that means none is an error, for a list that silently
means fewer frames is another experiment.
"""

import difflib
import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines.data.disk.files import open_regular
from pipelines.data.selection.listing import MAX_LIST_BYTES, lines_of, plain_path
from pipelines.errors import UserError


def read_frame_list(path: Path, setting: str = "frames") -> list[str]:
    """What a list file names, one frame or glob a line; empty lines and those that begin with # are passed over.

    Args:
        path: Text file, UTF-8, or UTF-16 with its byte order mark; any kind of line end, blanks and quotes around.
        setting: Told in errors, as what the file was given by.

    Raises:
        UserError: It cannot be read, is no text or names nothing.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(MAX_LIST_BYTES + 1)
        if len(data) > MAX_LIST_BYTES or b"\0\0" in data:
            raise UserError(f"{setting}: {path} is no list of frame names; expected a text file with one name a line")
        words = [plain_path(line) for line in lines_of(data) if not line.startswith("#")]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{setting}: {path} cannot be read as a list of frame names ({reason})") from error
    if not any(words):
        raise UserError(f"{setting}: {path} names no frame; expected a name on each line")
    return [word for word in words if word]


def named(images: Mapping[str, Path], words: Iterable[str], root: Path, where: str) -> set[str]:
    """The names of the frames that are meant by words.

    Args:
        images: Of the set, by frame name.
        words: Each a frame's name, the path of its image in the set (with its suffix or without), the image's file name
            where no other folder has it, or a glob of names or paths, whose * may span folders.
        root: The set's folder.
        where: Told in errors.

    Raises:
        UserError: A word means no frame, or several without being a glob.
    """
    return meant_by(words, known_as(images, root), where)


def meant_by(words: Iterable[str], known: Mapping[str, set[str]], where: str, kind: str = "frame") -> set[str]:
    """The names that words mean, as `named`; `known` says what frames may be called, `kind` what they are in errors."""
    found: set[str] = set()
    for word in words:
        meant = known.get(word, set())
        if not meant and re.search(r"[*?[]", word):
            matches = re.compile(fnmatch.translate(word)).match
            meant = {name for key, names in known.items() if matches(key) for name in names}
        elif len(meant) > 1:
            raise UserError(f"{where}: {word!r} is the name of several {kind}s; write one of {_shown(sorted(meant))}")
        if not meant and len(word.split()) == 2 and all(Path(one).suffix for one in word.split()):
            raise UserError(f"{where}: expected one name a line, and {word!r} is two; keep the image's")
        if not meant:
            near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)
            raise UserError(f"{where}: no {kind} is called or matches {word!r}; the likest is {near[0]!r}")
        found |= meant
    return found


def known_as(images: Mapping[str, Path], root: Path) -> dict[str, set[str]]:
    """What frames of a set may be called -> their names; arguments as of `named`."""
    known: defaultdict[str, set[str]] = defaultdict(set)
    for name, image in images.items():
        others = [image.name, image.stem]
        if image.is_relative_to(root):
            path = image.relative_to(root)
            others += [path.as_posix(), path.with_suffix("").as_posix()]
        for other in others:
            known[other].add(name)
    known.update({name: {name} for name in images})  # a frame's own name means that frame alone
    return known


def _shown(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
