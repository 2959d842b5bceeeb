"""Frames that cannot be used are found before anything is computed from the others, not after hours of translation.

Every frame is decoded once: its image, its label map, the size of both. What proved good is remembered by its content,
so the next command on the same frames asks for times and sizes alone.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from pipelines.data.disk.files import out_of_resources, write_atomically
from pipelines.data.disk.json_files import parse_json
from pipelines.data.frames import FrameSet
from pipelines.errors import ImageError, NoInputsError, StorageError

READING = "2"
"""Raised when files that were readable before are so no more: what is remembered of them is then worth nothing."""

LISTED = 20
"""Frames that are named where some are left out; the count is of all."""


class GoodFrames:
    """Which frames can be used, known from one command to the next.

    Args:
        path: Where it is kept; read if it is there, written by `save`.
        hash_of: SHA-256 of a file, by which it is known; StorageError if it cannot be read.
    """

    def __init__(self, path: Path, hash_of: Callable[[Path], str]) -> None:
        self.path, self._hash_of = path, hash_of
        self._good = self._read()
        self.changed = False
        """Whether anything was found that is not kept yet."""

    def troubles(self, frames: FrameSet, progress: Callable[[int], None] = lambda done: None) -> dict[str, str]:
        """Name and trouble, on one line, of each frame that cannot be used, in the set's order.

        Args:
            frames: The set.
            progress: Called with the number of frames done.
        """
        found: dict[str, str] = {}
        look = partial(self._trouble, frames)
        for index, trouble in enumerate(_in_threads(look, len(frames))):
            if trouble is not None:
                found[frames.frames[index].name] = trouble
            progress(index + 1)
        return found

    def _trouble(self, frames: FrameSet, index: int) -> str | None:
        try:
            known_by = self._digest(frames, index)
            if known_by not in self._good:
                frames.read_image(index)
                if frames.has_label_map(index):
                    frames.read_label_map(index)
                self._good.add(known_by)
                self.changed = True
        except (ImageError, StorageError) as error:
            if out_of_resources(error):
                raise
            return str(error)
        return None

    def _digest(self, frames: FrameSet, index: int) -> str:
        """A hash of what decides whether a frame can be used."""
        frame = frames.frames[index]
        parts = [READING, self._hash_of(frame.image), frame.image.suffix.lower()]
        if frame.label is not None and frame.encoding is not None:
            parts += [self._hash_of(frame.label), frame.encoding.name]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def refresh(self) -> None:
        """Take over what other processes have found meanwhile."""
        self._good |= self._read()

    def save(self) -> None:
        """Keep what was found, if anything was."""
        if self.changed:
            write_atomically(self.path, json.dumps(sorted(self._good)).encode())
            self.changed = False

    def _read(self) -> set[str]:
        """What was kept; whatever of it cannot be used is found out again."""
        try:
            known = parse_json(self.path.read_bytes())
        except (OSError, ValueError):
            return set()
        return {entry for entry in known if isinstance(entry, str)} if isinstance(known, list) else set()


def _in_threads(look: Callable[[int], str | None], count: int) -> Iterator[str | None]:
    """`look` of 0 to count-1, in order; decoders leave Python to other threads while they work."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(look, range(count))
    finally:
        pool.shutdown(cancel_futures=True)  # who stops early waits for the frames at hand alone


def without_bad_frames(frames: FrameSet, troubles: Mapping[str, str]) -> FrameSet:
    """The set as its setting `bad_frames` wants it, given what is wrong with which frames.

    Raises:
        ImageError: There are bad frames, and the setting is "refuse".
        NoInputsError: None is left.
    """
    if not troubles:
        return frames
    first = next(iter(troubles.values())).rstrip(".")
    if frames.bad_frames == "refuse":
        more = f" (and {len(troubles) - 1} more of its {len(frames)} frames)" if len(troubles) > 1 else ""
        raise ImageError(
            f'{first}{more}. Mend it, or set bad_frames = "leave_out" of data set {frames.name!r}; '
            "`sim2real data check` lists all"
        )
    kept = [frame for frame in frames.frames if frame.name not in troubles]
    if not kept:
        raise NoInputsError(f"{frames.name}: none of its {len(frames)} frames can be used, the first: {first}")
    return replace(frames, frames=kept, unusable=dict(troubles))


def unusable_in_words(frames: FrameSet) -> list[str]:
    """A line for each frame that was left out, up to LISTED of them, then one that counts the rest."""
    troubles = list(frames.unusable.values())
    more = [f"{frames.name}: left out, {len(troubles) - LISTED} frames more"] if len(troubles) > LISTED else []
    return [f"{frames.name}: left out, it cannot be used: {trouble}" for trouble in troubles[:LISTED]] + more
