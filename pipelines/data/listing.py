"""A list file: the paths of the frames to work on, one a line, relative to the file's own folder.

For a subset of a large tree, or an order of business that another tool wrote. Every mistake in it is found before
anything is done, and named with its line; a listed file that is missing or broken costs one frame later on.
"""

from pathlib import Path, PurePosixPath

from pipelines.data.images import IMAGE_SUFFIXES
from pipelines.errors import NoInputsError, UserError

MAX_LIST_BYTES = 256 * 2**20
"""More than a million paths; what is larger is no list."""


def read_listing(path: Path) -> list[PurePosixPath]:
    """The listed paths in the file's order. Empty lines and lines that begin with # are passed over.

    Args:
        path: Text file, UTF-8 (a byte order mark and Windows line ends do no harm).

    Raises:
        UserError: The file cannot be read; or a line of it, named by its number, leads out of its folder, names no
            image, or repeats an earlier one.
        NoInputsError: It lists nothing.
    """
    found: dict[PurePosixPath, int] = {}
    for number, line in enumerate(_lines(path), 1):
        text = line.rstrip("\r")
        if not text.strip() or text.startswith("#"):
            continue
        listed = PurePosixPath(text)
        problem = _problem(listed)
        if problem is None and listed in found:
            problem = f"{text!r} is listed in line {found[listed]} already"
        if problem is not None:
            raise UserError(f"{path}:{number}: {problem}")
        found[listed] = number
    if not found:
        raise NoInputsError(f"{path}: lists no image; expected one path a line, relative to {path.parent}")
    return list(found)


def _lines(path: Path) -> list[str]:
    try:
        with open(path, "rb") as stream:
            data = stream.read(MAX_LIST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot read the list: {error.strerror or error}") from error
    if len(data) > MAX_LIST_BYTES or b"\0" in data:
        raise UserError(f"{path}: is no list of paths; expected a text file with one path a line")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")


def _problem(listed: PurePosixPath) -> str | None:
    if listed.is_absolute() or ".." in listed.parts:
        return f"{str(listed)!r} leads out of the list's folder; paths are relative to it and stay inside"
    if listed.suffix.lower() not in IMAGE_SUFFIXES:
        return f"{str(listed)!r} is no image; expected a path that ends with one of {', '.join(IMAGE_SUFFIXES)}"
    return None
