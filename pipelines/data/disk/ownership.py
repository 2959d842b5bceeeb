"""Whose an output is: the one way in which run folders, translated sets, predictions, videos and audits are owned.

An output is held by one process at a time, or by several that each do a part. It says of which plan it is, and another
plan's is refused, or set aside under a new name: two plans mixed in one output would spoil it, and nothing would show.
The lock is the kernel's: however its process ends, nothing is left that someone would have to remove; what that process
was writing is swept up by the next one.
"""

import contextlib
import errno
import fcntl
import json
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.data.disk.files import PART, storage_errors
from pipelines.data.disk.json_files import parse_json
from pipelines.errors import BusyError, StorageError

NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
"""What a network disk says that was mounted without locks."""


ANOTHER_PLACE = "another --output (of an experiment another --run)"
"""Where to go with what would be written to a place that is somebody's."""
_held: "weakref.WeakSet[BinaryIO]" = weakref.WeakSet()
"""The lock files that this process has."""


def hold(lock: Path, busy: str) -> BinaryIO:
    """The lock file, opened for reading and appending, ours alone until it is closed or the process dies.

    Args:
        lock: Made if missing; its folder must be there.
        busy: What to say where another process has it.

    Raises:
        BusyError: Another process has it, alone or with others.
        StorageError: The disk refuses.
    """
    while True:
        with locking(lock):
            stream = open(lock, "a+b")  # noqa: SIM115 (whoever holds it closes it)
            held = try_lock(stream)
        if not held:
            stream.close()
            raise BusyError(busy, lock.parent)
        if is_still(lock, stream):
            _held.add(stream)
            return stream
        stream.close()  # its owner finished and removed it between our opening and our locking


def _leave_to_the_parent() -> None:
    """A fork has the parent's files open. One that outlives a parent that was killed would keep its locks for it."""
    for stream in _held:
        stream.close()


os.register_at_fork(after_in_child=_leave_to_the_parent)


@contextlib.contextmanager
def in_turn(lock: Path) -> Iterator[None]:
    """Have a block to ourselves once whoever has it now is done: for work that others then find done.

    Raises:
        StorageError: The disk refuses.
    """
    with storage_errors(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        stream = open(lock, "ab")  # noqa: SIM115 (closed below)
    with stream:
        with locking(lock):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def locking(lock: Path) -> Iterator[None]:
    """Turn any failure of the file system inside the block into a StorageError, one without locks by its name."""
    with storage_errors(lock):
        try:
            yield
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            raise StorageError(
                f"{lock}: this disk offers no locks ({error.strerror}), which keep two processes apart. Mount it with "
                "the option flock, or put the output on a local disk"
            ) from error


def try_lock(stream: BinaryIO, together: bool = False) -> bool:
    """Lock an open file, alone or together with all who do so too; False where others stand in the way.

    Raises:
        OSError: The disk refuses, or offers no locks.
    """
    kind = fcntl.LOCK_SH if together else fcntl.LOCK_EX
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_still(lock: Path, stream: BinaryIO) -> bool:
    """Whether the path names the open file yet: an owner that is done removes its lock, or sets it aside."""
    try:
        return os.path.samestat(os.stat(lock), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def sweep(folder: Path, below: bool = True) -> None:
    """Remove the files that killed processes were writing in a folder, and `below` it, that is held: none is alive.

    Raises:
        StorageError: The disk refuses.
    """
    with storage_errors(folder):
        for place, folders, names in os.walk(folder):
            for name in filter(PART.fullmatch, names):
                os.unlink(os.path.join(place, name))
            if not below:
                folders.clear()


def as_json(value: Any) -> Any:
    """A value as it will be read back from JSON: tuples become lists."""
    return json.loads(json.dumps(value))


def read_plan(path: Path) -> dict[str, Any]:
    """What an output says of itself.

    Raises:
        ValueError: It is no JSON object.
        OSError: It cannot be read.
    """
    plan = parse_json(path.read_bytes())
    if not isinstance(plan, dict):
        raise ValueError("expected a JSON object")
    return plan


def differing(former: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key, former value and value asked for wherever two plans differ, in the keys' order; None: the key is absent."""
    keys = sorted(former.keys() | asked.keys())
    pairs = [(key, former.get(key), asked.get(key)) for key in keys]
    return [(key, before, now) for key, before, now in pairs if before != now]


def in_words(changes: Sequence[tuple[str, Any, Any]]) -> str:
    """What `differing` found, for whoever gave the options: "tile was left out and is 64"."""
    return ", ".join(
        f"{key.removesuffix('_sha256').replace('_', ' ')} was {value_in_words(former)} and is {value_in_words(asked)}"
        for key, former, asked in changes
    )


LONGEST_TOLD = 32
"""Characters of a value that are told in full; a longer one is a hash, mostly."""


def value_in_words(value: Any) -> str:
    """A value of a plan for whoever gave it, as an option or a setting: None was not given, a switch is on or off."""
    if value is None:
        return "left out"
    if isinstance(value, bool):
        return "on" if value else "off"
    return shortened(" ".join(map(str, value)) if isinstance(value, list) else str(value))


def shortened(text: str) -> str:
    """A text, of which the beginning tells enough where it is a hash."""
    return text if len(text) <= LONGEST_TOLD else f"{text[:12]}…"


def set_aside(place: Path, suffix: str = "", beside: Sequence[str] = ()) -> None:
    """Rename an output to NAME.replaced-K, the first K that is free; nothing where there is none.

    Args:
        place: A folder or file.
        suffix: Of a file, to stay at the end of its name.
        beside: What follows the name in the names of files that belong to it; those that are there go along.

    Raises:
        StorageError: The disk refuses.
    """
    place = Path(os.path.abspath(place))  # "." has no name
    if not os.path.lexists(place):
        return
    count, stem = 1, place.name.removesuffix(suffix)
    while os.path.lexists(aside := place.with_name(f"{stem}.replaced-{count}{suffix}")):
        count += 1
    with storage_errors(place):
        place.rename(aside)
        for ending in beside:
            companion = place.with_name(f"{place.name}{ending}")
            if companion.exists():
                companion.rename(aside.with_name(f"{aside.name}{ending}"))
