"""The data sets of one command: each opened once and looked through once, however many stages and arms ask for it.

A comparison asks for the same few sets again and again, for every seed, arm, variant and expert. With a simulator's
hundred thousand frames on a network's disk every look through them takes minutes.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from pipelines.data.disk.hashes import HashCache
from pipelines.data.disk.ownership import in_turn
from pipelines.data.frames import AnyFrameSetSettings, FrameSet, open_frame_set
from pipelines.data.labels.classless import refuse_classless
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.readers.layout import Frame
from pipelines.data.selection.bad_frames import GoodFrames, unusable_in_words, without_bad_frames
from pipelines.engine.torchrun import ProcessRank
from pipelines.progress import Progress

FramesOfSets = tuple[tuple[str, tuple[Frame, ...]], ...]
"""Names and frames of several sets, by which these are known within a command."""


class OpenedSets:
    """Opens sets, drawing those of toy world, and knows them by their content. It remembers both: make one a command.

    What happens to a set's files later during the command is not noticed.

    Args:
        data: Folder that the sets' roots start from.
        run: Folder of the experiment; gets what toy world draws (`frames/`), the hashes of files (`.hashes.json`) and
            which frames can be used (`.good_frames.json`).
        by_name: Only names are looked at, as a preview does: nothing is read, so bad frames are among the others.
    """

    def __init__(self, data: Path, run: Path, by_name: bool = False) -> None:
        self.data, self.drawn, self._by_name = data, run / "frames", by_name
        self._lock = run / ".frames.lock"
        self._hashes = HashCache(run / ".hashes.json")
        self._good = GoodFrames(run / ".good_frames.json", self._hash_once)
        self._found: dict[AnyFrameSetSettings, FrameSet] = {}
        self._opened: dict[AnyFrameSetSettings, FrameSet] = {}
        self._known: dict[Path, str] = {}
        self._fingerprints: dict[FramesOfSets, str] = {}
        self._learnable: set[FramesOfSets] = set()

    def find(self, settings: Sequence[AnyFrameSetSettings]) -> list[FrameSet]:
        """The sets, in order, bad frames among them; errors as of `open_frame_set`. What has a format that is not read
        is named on stderr.
        """
        for one in settings:
            if one not in self._found:
                self._found[one] = found = open_frame_set(one, self._root(one))
                _say(f"{found.name}: left out, its format is not read: {frame.image}" for frame in found.unread)
        return [self._found[one] for one in settings]

    def open(self, settings: Sequence[AnyFrameSetSettings]) -> list[FrameSet]:
        """The sets, in order, of which every frame can be used; what is left out is named on stderr.

        Raises:
            UserError: As `open_frame_set`.
            ImageError: A frame cannot be used, and its set's `bad_frames` is "refuse".
            NoInputsError: No frame of a set is there or can be used.
        """
        if self._by_name:
            return self.find(settings)
        for one, found in zip(settings, self.find(settings), strict=True):
            if one not in self._opened:
                self._opened[one] = opened = without_bad_frames(found, self._troubles(found))
                _say(unusable_in_words(opened))
        return [self._opened[one] for one in settings]

    def _troubles(self, frames: FrameSet) -> dict[str, str]:
        """What is wrong with which frames. Of several processes one looks, and the others then know."""
        with in_turn(self._lock):
            self._hashes.refresh()
            self._good.refresh()
            with Progress("", 0, "frame") as progress:
                troubles = self._good.troubles(frames, partial(self._show, progress, frames))
            self._hashes.save()
            self._good.save()
        return troubles

    def _show(self, progress: Progress, frames: FrameSet, done: int) -> None:
        """Of several processes those that only find what another one has found say nothing."""
        if ProcessRank.of_environment().rank == 0 or self._hashes.changed or self._good.changed:
            if progress.total == 0:
                progress.begin(f"check {frames.name}", len(frames), done - 1)
            progress.reach(done)

    def _root(self, settings: AnyFrameSetSettings) -> Path:
        """Where a set's root is looked up: the data folder, or the run folder for what toy world draws."""
        if not isinstance(settings, ToyWorldSettings):
            return self.data
        # Of several processes one draws what is missing, and the others then find it there.
        turn = contextlib.nullcontext() if settings.is_drawn(self.drawn) else in_turn(self._lock)
        with turn, Progress(f"draw {settings.name}", settings.frames, "frame") as progress:
            settings.draw(self.drawn, progress.reach)
        return self.drawn

    def learnable(self, sets: Sequence[FrameSet]) -> list[FrameSet]:
        """The sets themselves, of which something is learnt by their label maps.

        Raises:
            NoInputsError: The label maps of one show no class.
        """
        key = _key(sets)
        if not self._by_name and key not in self._learnable:
            refuse_classless(sets)
            self._learnable.add(key)
        return list(sets)

    def fingerprint(self, sets: Sequence[FrameSet]) -> str:
        """A hash of the names and contents of all images and label maps, and of how the labels are read.

        Changes when any byte does, and not when a file is merely touched.
        """
        key = _key(sets)
        if key not in self._fingerprints:
            self._fingerprints[key] = self._look_through(sets)
        return self._fingerprints[key]

    def _look_through(self, sets: Sequence[FrameSet]) -> str:
        digest = hashlib.sha256()
        for frames in sets:
            for frame in frames.frames:
                parts = [frames.name, frame.name, self._hash_once(frame.image)]
                parts.append(self._hash_once(frame.label) if frame.label else "")
                parts.append(frame.encoding.name if frame.encoding else "")
                digest.update(json.dumps(parts).encode())
        self._hashes.save()
        return digest.hexdigest()

    def _hash_once(self, file: Path) -> str:
        """The hash of a frame's file, looked at once a command."""
        if file not in self._known:
            self._known[file] = self._hashes.of(file)
        return self._known[file]

    @property
    def unusable(self) -> dict[str, dict[str, str]]:
        """The frames that were left out as not usable, with what is wrong, by the names of the sets opened so far."""
        found: dict[str, dict[str, str]] = {}
        for frames in self._opened.values():
            if frames.unusable:
                found.setdefault(frames.name, {}).update(frames.unusable)
        return found

    def hash_of(self, file: Path) -> str:
        """The hash of a single file, as it is now."""
        return self._hashes.of(file)


def _key(sets: Sequence[FrameSet]) -> FramesOfSets:
    return tuple((frames.name, tuple(frames.frames)) for frames in sets)


def _say(lines: Iterable[str]) -> None:
    """Once, however many processes open the set."""
    if ProcessRank.of_environment().rank == 0:
        for line in lines:
            print(line, file=sys.stderr)
