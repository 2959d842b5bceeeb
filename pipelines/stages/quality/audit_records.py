"""What an audit has counted, frame by frame, on disk: one killed in the middle goes on from here.

Each of several processes keeps what it counted in a file of its own until all is together.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.data.disk.files import storage_errors, write_atomically
from pipelines.data.disk.json_files import parse_json
from pipelines.data.disk.manifest import ManifestEntry
from pipelines.engine.processes import Processes
from pipelines.stages.quality.translated_pairs import Expert, TranslatedFrame
from segment.classes import CLASS_NAMES

RECORDS = "audit.jsonl"
RECORDS_OF_PARTS = "audit.*-of-*.jsonl"
COUNTED_ON = ("image_sha256", "source_sha256", "label_sha256", "label_encoding")
"""A label map may be corrected, or read as that of another version, and the translated image stay what it was."""


@dataclass(frozen=True)
class Record:
    """What was counted on one frame; confusions are int64 (19, 20), None where there was nothing to count on."""

    frame: str
    counted_on: dict[str, Any]
    """Fields of the manifest's entry, by which files are other ones now."""
    expert_sha256: str
    with_source: bool
    structure: float | None
    translated: torch.Tensor | None
    source: torch.Tensor | None


def counted_on(entry: ManifestEntry) -> dict[str, Any]:
    """What of an entry says which files were looked at, and how the label map was read."""
    return {name: getattr(entry, name) for name in COUNTED_ON}


def still_holds(record: Record, frame: TranslatedFrame, entry: ManifestEntry, expert: Expert) -> bool:
    """Whether a record is of these very files, by this expert, with the source where there is one now."""
    expected = (counted_on(entry), expert.sha256, frame.source is not None)
    return (record.counted_on, record.expert_sha256, record.with_source) == expected


def records_of(processes: Processes) -> str:
    """Name of the file of what this process counted."""
    if processes.world_size == 1:
        return RECORDS
    return f"audit.{processes.rank + 1}-of-{processes.world_size}.jsonl"


def write_records(path: Path, records: Sequence[Record]) -> None:
    """Write them in one piece, a line each."""
    write_atomically(path, b"".join(map(_line, records)))


def join_records(folder: Path, records: Sequence[Record], processes: Processes) -> None:
    """Write all of them into one file, and drop the files of parts, also those of an audit that was killed."""
    if not processes.leads:
        return
    write_records(folder / RECORDS, records)
    for path in folder.glob(RECORDS_OF_PARTS):
        with storage_errors(path):
            path.unlink(missing_ok=True)


def known_records(folder: Path) -> dict[str, Record]:
    """Earlier counts by frame, of all processes."""
    known = _read_records(folder / RECORDS)
    for path in sorted(folder.glob(RECORDS_OF_PARTS)):
        known |= _read_records(path)
    return known


def _read_records(path: Path) -> dict[str, Record]:
    """Earlier counts by frame. They can be made again: whatever cannot be read is."""
    try:
        return {record.frame: record for record in map(_parsed, path.read_bytes().splitlines())}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _line(record: Record) -> bytes:
    values = vars(record) | {"translated": _sparse(record.translated), "source": _sparse(record.source)}
    return json.dumps(values).encode("ascii") + b"\n"


def _parsed(line: bytes) -> Record:
    values: dict[str, Any] = parse_json(line)
    return Record(**values | {name: _dense(values[name]) for name in ("translated", "source")})


def _sparse(counts: torch.Tensor | None) -> list[list[int]] | None:
    """[label, seen, pixels] of every pair that occurs."""
    if counts is None:
        return None
    return [[*place, int(counts[tuple(place)])] for place in counts.nonzero().tolist()]


def _dense(pairs: list[list[int]] | None) -> torch.Tensor | None:
    if pairs is None:
        return None
    counts = torch.zeros(len(CLASS_NAMES), len(CLASS_NAMES) + 1, dtype=torch.int64)
    for label, seen, pixels in pairs:
        counts[label, seen] = pixels
    return counts
