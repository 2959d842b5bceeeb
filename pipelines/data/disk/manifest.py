"""The record of a translated data set: which file was made of which, and hashes that show whether that still holds.

`manifest.jsonl` lies beside the frames and is written last, so it also says "complete". Until then a hidden journal
holds the same lines, in the order in which frames were finished; a killed run loses at most its last, torn line.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PositiveInt,
    ValidationError,
    model_validator,
)

from pipelines.data.disk.files import storage_errors, write_atomically
from pipelines.data.disk.ownership import ANOTHER_PLACE, hold
from pipelines.errors import UserError

MANIFEST = "manifest.jsonl"
JOURNAL = ".journal.jsonl"
SCORES = {"label_consistency", "structure", "expert_sha256"}
"""Fields that an audit adds later. Lines of frames without them are as they were before there were audits."""
OVERLAY = {"overlay", "overlay_sha256"}
"""Fields of predictions."""


def _inside_the_set(path: str) -> str:
    """A manifest may come from elsewhere: it must not name files outside its own folder."""
    if not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ValueError(f"the path {path!r} must be relative and stay inside the set")
    return path


RelativePath = Annotated[str, AfterValidator(_inside_the_set)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ManifestEntry(BaseModel):
    """One translated frame. Paths are posix; hashes are SHA-256 in lower-case hexadecimal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frame: Annotated[str, Field(min_length=1)]
    """Name of the frame, unique in the set."""
    image: RelativePath
    label: RelativePath | None
    """The label map that was carried along; relative to the set, as `image`."""
    label_encoding: dict[str, JsonValue] | None
    """How the label map is written (`LabelEncoding.to_json`); set exactly when there is a label map."""
    source: RelativePath
    """The image that was translated, relative to the root of its own set."""
    source_sha256: Sha256
    image_sha256: Sha256
    label_sha256: Sha256 | None
    checkpoint_sha256: Sha256
    width: PositiveInt
    height: PositiveInt
    label_consistency: Annotated[float, Field(ge=0, le=1)] | None = None
    """Mean IoU of an expert on the translated frame against its label map; null where no class could be scored."""
    structure: Annotated[float, Field(ge=-1, le=1)] | None = None
    """How well edges were kept: SSIM of the gradients of source and translation; null where the source is not known."""
    expert_sha256: Sha256 | None = None
    """Checkpoint of the expert; null for a frame that no audit has seen since it was translated."""
    overlay: RelativePath | None = None
    """A picture for people that was made beside the image; of predictions."""
    overlay_sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _label_is_whole(self) -> Self:
        if len({self.label is None, self.label_encoding is None, self.label_sha256 is None}) > 1:
            raise ValueError("label, label_encoding and label_sha256 must be all set or all null")
        if self.expert_sha256 is None and (self.label_consistency, self.structure) != (None, None):
            raise ValueError("label_consistency and structure need an expert_sha256 that says whose they are")
        return self


def read_manifest(path: Path) -> list[ManifestEntry]:
    """The frames of a translated set, as listed.

    Raises:
        UserError: The manifest is missing or unreadable; or a line of it, named by its number, is damaged or lists a
            frame a second time.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"{path}: cannot read the manifest: {error.strerror or error}") from error
    entries: dict[str, ManifestEntry] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = _parsed(line)
        except ValueError as error:
            raise UserError(f"{path}:{number}: damaged line ({error}). Translate the set again") from error
        if entry.frame in entries:
            raise UserError(f"{path}:{number}: frame {entry.frame!r} is listed twice. Translate the set again")
        entries[entry.frame] = entry
    return list(entries.values())


def write_manifest(path: Path, entries: Iterable[ManifestEntry]) -> None:
    """Write the entries in the order of their frames' names, whole or not at all: equal entries give equal bytes."""
    write_atomically(path, b"".join(_line(entry) for entry in sorted(entries, key=lambda entry: entry.frame)))


def _line(entry: ManifestEntry) -> bytes:
    # ASCII, with everything else escaped: no name, however odd, can then hold what some reader takes for a line's end.
    left_out = (SCORES if entry.expert_sha256 is None else set()) | (OVERLAY if entry.overlay is None else set())
    return json.dumps(entry.model_dump(exclude=left_out)).encode("ascii") + b"\n"


def _parsed(line: bytes) -> ManifestEntry:
    try:
        return ManifestEntry.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from error


class Journal:
    """The finished frames of a translation under way, and the lock that keeps a second one out of its folder.

    Attributes:
        path: The journal file, made if missing. A torn last line of a killed run is cut off.

    Raises:
        UserError: Another process is writing to the folder.
        StorageError: The disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with storage_errors(path):
            self._stream = hold(
                path,
                f"{path.parent}: another process is at work in it; wait until it is done and run the same command "
                f"again, or choose {ANOTHER_PLACE}",
            )
            self._stream.seek(0)
            lines = self._stream.read()
            whole = lines[: lines.rfind(b"\n") + 1]
            self._stream.truncate(len(whole))

    @property
    def entries(self) -> dict[str, ManifestEntry]:
        """The frames noted so far, by name; read whenever asked for: of a large set they are not to be kept twice."""
        with storage_errors(self.path):
            return _readable(self.path.read_bytes())

    def append(self, entries: Iterable[ManifestEntry]) -> None:
        """Note frames as finished; on return they are safely on the disk."""
        with storage_errors(self.path):
            self._stream.write(b"".join(_line(entry) for entry in entries))
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Let others into the folder."""
        with storage_errors(self.path):
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _readable(lines: bytes) -> dict[str, ManifestEntry]:
    """Frames that were noted. A damaged line only means that its frame is done once more."""
    entries = {}
    for line in lines.split(b"\n"):
        with contextlib.suppress(ValueError):
            entry = _parsed(line)
            entries[entry.frame] = entry
    return entries
