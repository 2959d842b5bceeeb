"""A list file: the paths of the frames to work on, one a line, relative to the file's own folder.

For a subset of a large tree, or an order of business that another tool wrote, on whatever system: a line is taken as it
stands where there is such a file, else as Windows tools write it. Every mistake in it is found before anything is done,
and named with its line; a listed file that is missing or broken costs one frame later on.
"""

import codecs
import os
import re
from pathlib import Path, PurePosixPath

from pipelines.data.images import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from pipelines.errors import NoInputsError, UserError

MAX_LIST_BYTES = 256 * 2**20
"""More than a million paths; what is larger is no list."""

ENCODINGS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""Byte order mark -> encoding. Windows PowerShell writes UTF-16 by default."""


def read_listing(path: Path) -> list[PurePosixPath]:
    """The listed paths in the file's order. Empty lines and lines that begin with # are passed over.

    Args:
        path: Text file, UTF-8, or UTF-16 with its byte order mark; any kind of line end. Blanks around a path, quotes
            and backslashes do no harm.

    Raises:
        UserError: The file cannot be read; or a line of it, named by its number, leads out of its folder, names no
            image or several, or repeats an earlier one.
        NoInputsError: It lists nothing.
    """
    found: dict[PurePosixPath, int] = {}
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.startswith("#"):
            continue
        there = os.path.isfile(path.parent / line)
        text = line if there else plain_path(line)
        listed = PurePosixPath(text)
        problem = _problem(text, there)
        if problem is None and listed in found:
            problem = f"{text!r} is listed in line {found[listed]} already"
        if problem is not None:
            raise UserError(f"{path}:{number}: {problem}")
        found[listed] = number
    if not found:
        raise NoInputsError(f"{path}: lists no image; expected one path a line, relative to {path.parent}")
    return list(found)


def lines_of(data: bytes) -> list[str]:
    """The lines of a text file of any system, without their ends; bytes that are no UTF-8 stay as file names have them.

    Raises:
        UnicodeDecodeError: It has the mark of UTF-16 and is none.
    """
    mark = next((mark for mark in ENCODINGS if data.startswith(mark)), b"")
    encoding = ENCODINGS.get(mark, "utf-8")
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    return re.split("\r\n|\n|\r", data.removeprefix(mark).decode(encoding, errors))


def plain_path(text: str) -> str:
    """A path without the blanks and quotes around it, "/" between its folders."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text.replace("\\", "/")


def _lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot read the list: {error.strerror or error}") from error
    if len(data) <= MAX_LIST_BYTES:
        try:
            lines = lines_of(data)
        except UnicodeDecodeError:
            lines = ["\0"]
        if not any("\0" in line for line in lines):
            return lines
    raise UserError(f"{path}: is no list of paths; expected a text file in UTF-8 with one path a line")


def _problem(text: str, there: bool) -> str | None:
    """What is wrong with a path; `there` says that such a file exists, so that it is one path and not several."""
    listed = PurePosixPath(text)
    if listed.is_absolute() or ".." in listed.parts or re.match("[A-Za-z]:/", text):
        return f"{text!r} leads out of the list's folder; paths are relative to it and stay inside"
    columns = [column for column in re.split(r"[,;|\t ]+", text) if _is_image(column)]
    if len(columns) > 1 and not there:
        return f"{text!r} names {len(columns)} files; expected one path a line, such as {columns[0]!r}"
    if not _is_image(text):
        return f"{text!r} is no image; expected a path that ends with one of {', '.join(IMAGE_SUFFIXES)}"
    return None


def _is_image(path: str) -> bool:
    """Whether a path's suffix is an image's, one that is read or one that will be named as not read."""
    return PurePosixPath(path).suffix.lower() in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES)
