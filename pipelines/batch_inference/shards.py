"""Parts of one translation, done by processes that know nothing of each other, and how they become one set.

Part i of n takes every n-th frame in name order. Each part keeps its own journal and its own list of failures; all
may write into one folder, from one machine or many. Whoever finishes last, or any later run, joins the lists.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from pydantic import ValidationError

from pipelines.data.disk.files import storage_errors, write_atomically
from pipelines.data.disk.json_files import parse_json
from pipelines.data.disk.manifest import JOURNAL, MANIFEST, ManifestEntry
from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError

LISTED = ".journal.0-of-0.jsonl"
"""A manifest that is out of date, put where it counts as a journal."""
JOURNALS = re.compile(r"\.journal\.\d+-of-\d+\.jsonl")
FAILURE_LISTS = re.compile(r"\.failures\.\d+-of-\d+\.jsonl")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Part:
    """Part `index` of `count`, counted from 1."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise UserError(f"--shard {self}: expected I/N with I from 1 to N, such as 2/8")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Part of a text such as "2/8"; UserError for any other."""
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None:
            raise UserError(f"--shard {text}: expected I/N, such as 2/8 for the second of eight")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """The part of a process that a launcher started; None where there is but one process.

        Raises:
            UserError: The launcher gave it a rank that none of so many processes has.
        """
        started = ProcessRank.of_environment(environment)
        if started.world_size == 1:
            return None
        if started.rank >= started.world_size:
            raise UserError(
                f"RANK is {started.rank} and WORLD_SIZE {started.world_size}; expected ranks from 0 to "
                f"{started.world_size - 1}, as torchrun gives them"
            )
        return cls(started.rank + 1, started.world_size)

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The items that fall to this part, every `count`-th."""
        return list(items[self.index - 1 :: self.count])

    @property
    def journal(self) -> str:
        """Name of the file in which this part notes what it finished."""
        return f".journal.{self.index}-of-{self.count}.jsonl"

    @property
    def failures(self) -> str:
        """Name of the file in which this part lists what failed."""
        return f".failures.{self.index}-of-{self.count}.jsonl"


def candidates(output: Path) -> dict[str, list[ManifestEntry]]:
    """Every entry that any run or part has noted in a folder, by image. More than one: a frame was done again.

    By image, for a frame's name may change: it gets a suffix once another image of the same stem joins it.
    """
    found: dict[str, list[ManifestEntry]] = {}
    listed = _noted(output / MANIFEST)  # before the folder is: another part may be making a journal of it
    for entry in [entry for path in _journals(output) for entry in _noted(path)] + listed:
        entries = found.setdefault(entry.image, [])
        if entry not in entries:
            entries.insert(0, entry)
    return found


def _journals(output: Path) -> list[Path]:
    paths = sorted(path for path in _hidden(output) if JOURNALS.fullmatch(path.name))
    return [*paths, output / JOURNAL]


def _hidden(output: Path) -> list[Path]:
    with storage_errors(output):
        return [output / name for name in os.listdir(output) if name.startswith(".")]


def _noted(path: Path) -> list[ManifestEntry]:
    """Entries of a manifest or of a journal that another process may be writing; none where there is no such file.

    A torn or damaged line only means that its frame is done again.
    """
    with storage_errors(path):
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
    entries = []
    for line in lines:
        with contextlib.suppress(ValidationError):
            entries.append(ManifestEntry.model_validate_json(line))
    return entries


def demote_manifest(output: Path) -> None:
    """What the manifest lists stays known, but it no longer says "complete". Several parts may come to it at once."""
    with storage_errors(output / MANIFEST), contextlib.suppress(FileNotFoundError):
        os.replace(output / MANIFEST, output / LISTED)


def write_failures(path: Path, lines: Sequence[Mapping[str, str]]) -> None:
    """One JSON line for each failed frame; no file where there is none. ASCII, so that no name can break a line."""
    if lines:
        write_atomically(path, b"".join(json.dumps(line).encode("ascii") + b"\n" for line in lines))
        return
    with storage_errors(path):
        path.unlink(missing_ok=True)


def read_failures(output: Path, count: int) -> dict[str, str]:
    """Frame -> reason, of all parts of `count`; lists of another number of parts are of earlier runs."""
    reasons = {}
    for index in range(1, count + 1):
        reasons |= listed_failures(output / Part(index, count).failures)
    return reasons


def listed_failures(path: Path) -> dict[str, str]:
    """Frame -> reason, of one list; nothing where there is none. A frame on a damaged line is as if not listed."""
    reasons = {}
    with storage_errors(path):
        lines = path.read_bytes().splitlines() if path.exists() else []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = parse_json(line)
            reasons[str(found["frame"])] = str(found["reason"])
    return reasons


def remove_part_files(output: Path, but: str | None = None) -> None:
    """Drop journals and failure lists of parts, `but` the one of that name; their contents are elsewhere by now."""
    for path in _hidden(output):
        if path.name != but and (JOURNALS.fullmatch(path.name) or FAILURE_LISTS.fullmatch(path.name)):
            with storage_errors(path):
                path.unlink(missing_ok=True)
