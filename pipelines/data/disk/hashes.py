"""SHA-256 of files that are asked for again and again, kept in a file from one command to the next.

To read all frames of an experiment takes minutes; to ask the system whether any has changed, a moment.
"""

import json
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import sha256_of, write_atomically
from pipelines.data.disk.json_files import parse_json
from pipelines.errors import StorageError


class HashCache:
    """SHA-256 of files, computed again only where size, times or inode say that a file may have changed.

    The inode's change time counts too, and it cannot be set back by `touch`, `cp -p` or `git checkout`.

    Args:
        path: Where hashes are kept; read if it is there, written by `save`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._read()
        self.changed = False
        """Whether anything was computed that is not kept yet."""

    def of(self, file: Path) -> str:
        """The file's hash; StorageError if it cannot be read."""
        try:
            stat = file.stat()
        except OSError as error:
            raise StorageError(f"{file}: cannot read: {error.strerror or error}") from error
        state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(str(file))
        if known is None or known[:-1] != state:
            known = [*state, sha256_of(file)]
            self._known[str(file)] = known
            self.changed = True
        return known[-1]

    def _read(self) -> dict[str, list[Any]]:
        """What was kept. It is a cache: whatever of it cannot be used is computed again."""
        try:
            known = parse_json(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        entries = known.items() if isinstance(known, dict) else ()
        return {file: entry for file, entry in entries if isinstance(entry, list) and len(entry) == 5}

    def refresh(self) -> None:
        """Take over what other processes have computed meanwhile."""
        self._known |= self._read()

    def save(self) -> None:
        """Keep what was computed, if anything was."""
        if self.changed:
            write_atomically(self.path, json.dumps(self._known).encode())
            self.changed = False
