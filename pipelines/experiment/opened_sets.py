"""The data sets of one command: each opened once and looked through once, however many stages and arms ask for it.

A comparison asks for the same few sets again and again, for every seed, arm, variant and expert. With a simulator's
hundred thousand frames on a network's disk every look through them takes minutes.
"""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.data.frames import AnyFrameSetSettings, FrameSet, open_frame_set
from pipelines.data.hashes import HashCache
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.readers.layout import Frame
from pipelines.progress import Progress


class OpenedSets:
    """Opens sets, drawing those of toy world, and knows them by their content. It remembers both: make one a command.

    What happens to a set's files later during the command is not noticed.

    Args:
        data: Folder that the sets' roots start from.
        run: Folder of the experiment; gets what toy world draws (`frames/`) and the hashes of files (`.hashes.json`).
    """

    def __init__(self, data: Path, run: Path) -> None:
        self.data, self.drawn = data, run / "frames"
        self._hashes = HashCache(run / ".hashes.json")
        self._opened: dict[AnyFrameSetSettings, FrameSet] = {}
        self._fingerprints: dict[tuple[tuple[str, tuple[Frame, ...]], ...], str] = {}

    def open(self, settings: Sequence[AnyFrameSetSettings]) -> list[FrameSet]:
        """The sets, in order; errors as of `open_frame_set`. What is left out as not readable is named on stderr."""
        for one in settings:
            if one not in self._opened:
                self._opened[one] = found = open_frame_set(one, self._root(one))
                for frame in found.unread:
                    print(f"{found.name}: left out, its format is not read: {frame.image}", file=sys.stderr)
        return [self._opened[one] for one in settings]

    def _root(self, settings: AnyFrameSetSettings) -> Path:
        """Where a set's root is looked up: the data folder, or the run folder for what toy world draws."""
        if not isinstance(settings, ToyWorldSettings):
            return self.data
        with Progress(f"draw {settings.name}", settings.frames, "frame") as progress:
            settings.draw(self.drawn, progress.reach)
        return self.drawn

    def fingerprint(self, sets: Sequence[FrameSet]) -> str:
        """A hash of the names and contents of all images and label maps, and of how the labels are read.

        Changes when any byte does, and not when a file is merely touched.
        """
        key = tuple((frames.name, tuple(frames.frames)) for frames in sets)
        if key not in self._fingerprints:
            self._fingerprints[key] = self._look_through(sets)
        return self._fingerprints[key]

    def _look_through(self, sets: Sequence[FrameSet]) -> str:
        digest = hashlib.sha256()
        for frames in sets:
            for frame in frames.frames:
                parts = [frames.name, frame.name, self._hashes.of(frame.image)]
                parts.append(self._hashes.of(frame.label) if frame.label else "")
                parts.append(frame.encoding.name if frame.encoding else "")
                digest.update(json.dumps(parts).encode())
        self._hashes.save()
        return digest.hexdigest()

    def hash_of(self, file: Path) -> str:
        """The hash of a single file, as it is now."""
        return self._hashes.of(file)
