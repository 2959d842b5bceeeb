"""Whether what was written is still what was written: every file of a checkpoint, run or frame set hashed again.

A copy that broke off, a disk that forgets and a hand that slipped all look alike: a file whose bytes are not those that
the manifest speaks of. Neither safetensors nor an image's decoder would notice most of them.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.data.disk.files import sha256_of
from pipelines.data.disk.json_files import parse_json
from pipelines.data.disk.manifest import JOURNAL, MANIFEST, read_manifest
from pipelines.engine.checkpoint_files import checkpoint_hash, read_hashes
from pipelines.errors import CheckpointError, NoInputsError, SomeInputsFailedError, StorageError, UserError

CHECKPOINT = re.compile(r"step-\d+")
HASHED = (("image", "image_sha256"), ("label", "label_sha256"), ("overlay", "overlay_sha256"))
"""Fields of a frame's entry: a file, and the hash that it was written with."""


@dataclass(frozen=True)
class Verifiable:
    """Something with a manifest.

    Attributes:
        kind: "checkpoint", "frames" (translated, predicted or pseudo-labelled), or "run" (its final.json).
        path: Its folder.
    """

    kind: str
    path: Path


@dataclass
class Verified:
    """What was found of one of them."""

    subject: Verifiable
    files: int = 0
    """Files that were read and compared."""
    problems: list[UserError] = field(default_factory=list)
    """What is wrong, each naming its file, with the exit code that it deserves."""

    @property
    def line(self) -> str:
        """What there is to say of it, on one line."""
        verdict = "ok" if not self.problems else f"damaged: {len(self.problems)}"
        return f"{self.subject.kind} {self.subject.path}: {self.files} file{'' if self.files == 1 else 's'}, {verdict}"


def find_verifiable(path: Path) -> list[Verifiable]:
    """A checkpoint, run folder or frame set, or all that lie in a folder, by name.

    Raises:
        UserError: There is nothing at the path.
        NoInputsError: Nothing there has a manifest.
    """
    if not os.path.lexists(path):
        raise UserError(f"{path} does not exist; expected a checkpoint, a run folder or a translated set")
    folder = path.parent if path.name in (MANIFEST, "manifest.json") and path.is_file() else path
    found, unfinished = [], None
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if CHECKPOINT.fullmatch(here.name) or {"manifest.json", "state.json"} <= set(names):
            found.append(Verifiable("checkpoint", here))
            folders.clear()
            continue
        if "final.json" in names:
            found.append(Verifiable("run", here))
        if MANIFEST in names:
            found.append(Verifiable("frames", here))
        elif JOURNAL in names:
            unfinished = here
    if not found and unfinished is not None:
        raise NoInputsError(f"{unfinished} is not finished: it has no {MANIFEST} yet; run its command again, then this")
    if not found:
        raise NoInputsError(
            f"{path} holds nothing that can be verified; expected a checkpoint (step-N with manifest.json), a run "
            f"folder, or a set of frames with {MANIFEST}"
        )
    return found


def count_files(subjects: list[Verifiable]) -> int:
    """About how many files will be read, for the progress; manifests that cannot be read count as one."""
    return sum(_files_in(subject) for subject in subjects)


def verify(subject: Verifiable, reached: Callable[[], None] = lambda: None) -> Verified:
    """Hash every file that a manifest speaks of.

    Args:
        subject: What to verify.
        reached: Called after each file.
    """
    found = Verified(subject)
    checks = {"checkpoint": _of_checkpoint, "run": _of_run, "frames": _of_frames}
    try:
        for problem in checks[subject.kind](subject.path):
            found.files += 1
            reached()
            if problem is not None:
                found.problems.append(problem)
    except UserError as error:  # the manifest itself
        found.problems.append(error)
    return found


def refuse_damaged(all_found: list[Verified]) -> None:
    """Name the first bad file, with its exit code: 5 of a checkpoint, 3 of frames, 6 where the disk failed.

    Raises:
        CheckpointError, SomeInputsFailedError, StorageError: Something is not as it was written.
    """
    problems = [problem for found in all_found for problem in found.problems]
    if not problems:
        return
    more = f"; and {len(problems) - 1} more, listed above" if len(problems) > 1 else ""
    raise type(problems[0])(f"{problems[0]}{more}")


def _files_in(subject: Verifiable) -> int:
    try:
        if subject.kind == "checkpoint":
            return len(read_hashes(subject.path))
        if subject.kind == "frames":
            entries = read_manifest(subject.path / MANIFEST)
            return sum(getattr(entry, name) is not None for entry in entries for name, _ in HASHED)
    except UserError:
        return 1
    return 1


def _of_checkpoint(folder: Path) -> Iterator[UserError | None]:
    for name, expected in read_hashes(folder).items():
        yield _compared(folder / name, expected, CheckpointError, "use an older checkpoint or copy it again")


def _of_run(folder: Path) -> Iterator[UserError | None]:
    """Whether final.json speaks of a checkpoint that is there, whatever became of it."""
    final = folder / "final.json"
    try:
        told = parse_json(final.read_bytes())
        checkpoint, expected = folder / str(told["checkpoint"]), told["sha256"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        yield CheckpointError(f"{final} cannot be read ({error}); remove it and run the training command again")
        return
    if not (checkpoint / "manifest.json").is_file():
        yield CheckpointError(f"{checkpoint} is missing, and {final} names it as the last; copy the run again")
    elif checkpoint_hash(checkpoint) != expected:
        yield CheckpointError(f"{checkpoint} is not the one that {final} names as the last; copy the run again")
    else:
        yield None


def _of_frames(folder: Path) -> Iterator[UserError | None]:
    manifest = folder / MANIFEST
    try:
        entries = read_manifest(manifest)
    except UserError as error:
        raise SomeInputsFailedError(str(error)) from error
    for entry in entries:
        for name, hashed in HASHED:
            if getattr(entry, name) is not None:
                file, expected = folder / getattr(entry, name), getattr(entry, hashed)
                yield _compared(file, expected, SomeInputsFailedError, "the command that made it makes it again")


def _compared(file: Path, expected: str, kind: type[UserError], remedy: str) -> UserError | None:
    """What is wrong with a file: an error of a kind, or the disk's own; None where nothing is."""
    if not file.is_file():
        return kind(f"{file} is missing; {remedy}")
    try:
        found = sha256_of(file)
    except StorageError as error:
        return error
    return None if found == expected else kind(f"{file} has changed since it was written; {remedy}")
