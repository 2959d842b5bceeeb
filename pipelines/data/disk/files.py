"""Files that are whole or not there at all.

A run may be killed, and a disk may fill, at any byte. So nothing is written under its final name: the bytes go to a
hidden neighbour, are flushed to the disk, and take their name in one rename. Reading refuses what would hang (a pipe).
"""

import contextlib
import errno
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import StorageError

PART = re.compile(r"\..+\.(\d+)\.part", re.DOTALL)
"""Names of files that are being written, with the process that writes."""
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that no file is to blame for: every other one would fail in the same way."""
OUT_OF_REACH = (
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EAGAIN, errno.ENODEV, errno.ENOTCONN,
    errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH,
)  # fmt: skip
"""Errors of a disk or of the way to it: the file may be as good as ever, and others will not be read either."""
LONGEST_NAME = 255
"""Bytes; of nearly every file system."""


def out_of_resources(error: BaseException) -> bool:
    """Whether an error of ours was raised since OUT_OF_RESOURCES was met."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in OUT_OF_RESOURCES


def says_nothing_of_the_file(error: BaseException) -> bool:
    """Whether an error of the system is one of OUT_OF_RESOURCES or OUT_OF_REACH, or one of ours was raised for it."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (*OUT_OF_RESOURCES, *OUT_OF_REACH)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that readers see the old file or the new one, never a part. Makes missing folders.

    Raises:
        StorageError: The disk is full, read-only or failing; what was under `path` is unchanged.
    """
    part = part_of(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def refuse_unwritable(file: Path) -> None:
    """For before the hours of work that end in a file: StorageError where it cannot be written now, or is a folder.

    Writes nothing, so a disk that fills up meanwhile is told of by `write_atomically`.
    """
    with storage_errors(file):
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    refuse_unwritable_folder(file.parent)


def refuse_unwritable_folder(folder: Path) -> None:
    """The same of a folder that is to get files, and is made if missing."""
    there = Path(os.path.abspath(folder))
    while not os.path.lexists(there):
        there = there.parent
    with storage_errors(folder):
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def part_of(path: Path) -> Path:
    """Where this process writes what will be `path`: a hidden neighbour that PART matches, however long the name is."""
    return hidden_beside(path, f".{os.getpid()}.part")


def settle(part: Path, path: Path) -> None:
    """A file that a library has written gets its name, once it is on the disk."""
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def hidden_beside(path: Path, ending: str) -> Path:
    """The hidden neighbour of a file that has its name and an ending, or where that is too long a name made from it."""
    name = f".{path.name}{ending}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}{ending}"
    return path.with_name(name)


def remove_abandoned_parts(folder: Path) -> None:
    """Sweep up, in a folder and below it, what killed processes of this machine were writing; those alive are spared.

    Raises:
        StorageError: The disk refuses.
    """
    with storage_errors(folder):
        for place, _, names in os.walk(folder):
            for name in names:
                match = PART.fullmatch(name)
                if match is not None and not _is_alive(int(match[1])):
                    Path(place, name).unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # sends nothing
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return process != 0


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn any failure of the file system inside the block into a StorageError that names `path`."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: cannot write: {error.strerror or error}. Check the disk and permissions."
        ) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 lower-case hexadecimal digits; StorageError if it cannot be read."""
    try:
        with open_regular(path) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot read: {error.strerror or error}") from error


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file (or a link to one) for reading bytes.

    Raises:
        OSError: It is missing or unreadable, or a folder, pipe, socket or device (`strerror` says which): to open a
            pipe would wait for ever.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(0, f"is a {_kind_of(mode)}, expected a file")
    # Non-blocking: had a pipe taken the file's place since the look above, we would not hang.
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    return kinds.get(stat.S_IFMT(mode), "device")


def sync_folder(folder: Path) -> None:
    """The rename itself must survive a power cut too, and it lives in the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_in_words(size: float) -> str:
    """Bytes as a person says them, thousands of them to each unit: 512 bytes, 3.7 MB."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
