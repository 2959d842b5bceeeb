"""What of a translation is finished and what failed: taken over from earlier runs, noted, and concluded.

A frame is finished when its files have their names and a journal says so. Whoever finds a manifest finds everything
that it speaks of; so it is written last, and goes first when it is no longer true.
"""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.batch_inference.folder import WAY_OUT, ForeignPlanError
from pipelines.batch_inference.plan import PlannedFrame
from pipelines.batch_inference.shards import (
    LISTED,
    Part,
    candidates,
    demote_manifest,
    listed_failures,
    read_failures,
    remove_part_files,
    write_failures,
)
from pipelines.batch_inference.write import carry_along
from pipelines.data.disk.files import says_nothing_of_the_file, sha256_of, storage_errors, sync_folder
from pipelines.data.disk.manifest import JOURNAL, MANIFEST, Journal, ManifestEntry, read_manifest, write_manifest
from pipelines.data.disk.ownership import sweep
from pipelines.errors import ImageError, Interrupted, StorageError, UserError

FAILURES = "failures.jsonl"
LOOKED_AT_TOGETHER = 64
"""Frames between two questions whether to stop; a second or so of reading."""


@dataclass(frozen=True)
class Failure:
    """A frame that could not be translated, and why.

    Of an `unread` one a file was not there: nothing is known against what an earlier run made of it.
    """

    frame: PlannedFrame
    reason: str
    unread: bool = False

    @property
    def line(self) -> dict[str, str]:
        """As listed in `failures.jsonl`."""
        return {"frame": self.frame.name, "source": str(self.frame.source), "reason": self.reason}


@dataclass(frozen=True)
class Check:
    """How it is seen whether what earlier runs made still holds: by how many threads, heard by whom; see `JobControl`.

    It reads every file that is there, and those that it was made of.
    """

    workers: int
    checked: Callable[[int, int], None] = lambda done, total: None
    stop_requested: Callable[[], bool] = lambda: False

    def still_valid(
        self, frames: Sequence[PlannedFrame], known: Mapping[str, Sequence[ManifestEntry]], output: Path
    ) -> dict[str, ManifestEntry]:
        """By image, the entry of every frame whose inputs and outputs are all as they were when it was finished.

        Raises:
            Interrupted: A stop was requested.
            StorageError: The disk or the way to it fails.
        """

        def look(frame: PlannedFrame) -> ManifestEntry | None:
            return _still_valid(frame, known[str(frame.output_image)], output)

        noted = [frame for frame in frames if str(frame.output_image) in known]
        valid: dict[str, ManifestEntry] = {}
        with ThreadPoolExecutor(self.workers) as pool:
            for start in range(0, len(noted), LOOKED_AT_TOGETHER):
                self.checked(start, len(noted))
                if self.stop_requested():
                    raise Interrupted(
                        f"{output}: stopped when {start} of {len(noted)} finished frames were checked; the same "
                        "command carries on"
                    )
                some = noted[start : start + LOOKED_AT_TOGETHER]
                found = zip(some, pool.map(look, some), strict=True)
                valid |= {str(frame.output_image): entry for frame, entry in found if entry is not None}
        if noted:
            self.checked(len(noted), len(noted))
        return valid


@dataclass
class Record:
    """The state of one run, or of one part of it: what is finished, what failed, and where both are noted."""

    output: Path
    journal: Journal
    total: int
    check: Check
    progress: Callable[[int, int], None] = lambda done, total: None
    part: Part | None = None
    finished: dict[str, ManifestEntry] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    earlier: dict[str, list[ManifestEntry]] = field(default_factory=dict)
    """By image, what is noted of frames that are not finished as they are now."""

    @property
    def done(self) -> int:
        """Frames that are done with, well or badly."""
        return len(self.finished) + len(self.failures)

    def resume(self, frames: Sequence[PlannedFrame], plan: Sequence[PlannedFrame]) -> list[PlannedFrame]:
        """Take over what earlier runs finished and nothing has touched since; the rest of `frames` is returned.

        Args:
            frames: The ones to do here.
            plan: All frames of the translation.

        Raises:
            Interrupted: A stop was requested.
            StorageError: The disk or the way to it fails. Nothing was changed.
        """
        known = candidates(self.output)
        refuse_strays(known, plan, self.output)
        kept = self.check.still_valid(frames, known, self.output)
        self.finished = {entry.frame: entry for entry in kept.values()}
        missing = [frame for frame in frames if str(frame.output_image) not in kept]
        images = [str(frame.output_image) for frame in missing]
        self.earlier = {image: known[image] for image in images if image in known}
        if missing:
            demote_manifest(self.output)
        self._report()
        return missing

    def note(self, frame: PlannedFrame, saved: "Future[ManifestEntry]") -> None:
        """A frame is finished, if saving it did not fail for a reason that is its own."""
        try:
            entry = saved.result()
        except ImageError as error:
            self.fail(Failure(frame, str(error)))
        except StorageError as error:
            if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG):
                raise
            self.fail(Failure(frame, str(error)))  # the name is at fault, not the disk
        else:
            self.journal.append([entry])
            self.finished[entry.frame] = entry
            self._report()

    def fail(self, failure: Failure) -> None:
        """A frame cannot be translated; what an earlier run made of another file in its place goes."""
        self.failures.append(failure)
        if not failure.unread:
            for _, written in failure.frame.file_pairs:
                _remove(self.output / written)
        self._report()

    def conclude(self) -> None:
        """Failures, manifest, journal, in this order; a part lists its failures and leaves the rest to `join`."""
        self.failures.sort(key=lambda failure: failure.frame.name)
        lines = [failure.line for failure in self.failures]
        if self.part is not None:
            write_failures(self.output / self.part.failures, lines)
            return
        write_failures(self.output / FAILURES, lines)
        manifest, finished = self.output / MANIFEST, sorted(self.finished.values(), key=lambda entry: entry.frame)
        # One that says so already keeps its time: for make, a newer manifest means that the segmenter is out of date.
        if finished and not _says(manifest, finished):
            write_manifest(manifest, finished)
        if self.failures:
            # `make` deletes the manifest, its target, when frames failed; the journal then saves the work done.
            write_manifest(self.output / LISTED, [*finished, *self._not_refuted()])
        remove_part_files(self.output, but=LISTED if self.failures else None)
        with storage_errors(self.journal.path):  # last: whoever finds no journal, or a new one, has the folder
            if self.failures:
                os.replace(self.output / LISTED, self.journal.path)
                sync_folder(self.output)
            else:
                self.journal.path.unlink()

    def _not_refuted(self) -> list[ManifestEntry]:
        """What is noted of failed frames and still there: it holds again once their files are back."""
        images = [str(failure.frame.output_image) for failure in self.failures]
        entries = [entry for image in images for entry in self.earlier.get(image, ())]
        return [entry for entry in entries if (self.output / entry.image).exists()]

    def _report(self) -> None:
        self.progress(self.done, self.total)


def join(output: Path, plan: Sequence[PlannedFrame], count: int, check: Check) -> Record | None:
    """Make one set of what all parts did, as a single run would have left it.

    What was finished counts whoever did it, what failed only as one of `count` parts: under another number it may have
    been mended since. Where one part goes over a finished set again, the failures of the others are those that the set
    lists.

    Returns:
        The whole set's record; None while another process is at work, or where a part has not done all its frames.

    Raises:
        Interrupted: A stop was requested.
        StorageError: The disk or the way to it fails.
    """
    try:
        journal = Journal(output / JOURNAL)
    except UserError as error:
        if isinstance(error, StorageError):
            raise
        return None
    with journal:
        record = Record(output, journal, len(plan), check)
        known, failed, listed = candidates(output), read_failures(output, count), listed_failures(output / FAILURES)
        recorded = failed.keys() | listed.keys()
        if any(str(frame.output_image) not in known and frame.name not in recorded for frame in plan):
            return None

        def certain(frame: PlannedFrame) -> bool:
            """Noted once, with all that is wanted now, and never failed: what the part that noted it just wrote."""
            entries = known.get(str(frame.output_image), ())
            return len(entries) == 1 and entries[0].overlay == _text(frame.output_overlay) and frame.name not in failed

        valid = check.still_valid([frame for frame in plan if not certain(frame)], known, output)
        for frame in plan:
            image = str(frame.output_image)
            entry = known[image][0] if certain(frame) else valid.get(image)
            if entry is not None:
                record.finished[frame.name] = entry
            elif frame.name in failed:
                record.failures.append(Failure(frame, failed[frame.name]))
                record.earlier[image] = known.get(image, [])
            elif image not in known and frame.name in listed:
                record.failures.append(Failure(frame, listed[frame.name]))
            else:
                return None
        sweep(output)
        record.conclude()
    return record


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR):  # such a file cannot be there
            with storage_errors(path):
                raise


def _says(manifest: Path, entries: Sequence[ManifestEntry]) -> bool:
    """Whether a manifest is there, whole, and lists just these."""
    try:
        return read_manifest(manifest) == entries
    except UserError:
        return False


def _text(path: object) -> str | None:
    return None if path is None else str(path)


def refuse_strays(known: dict[str, list[ManifestEntry]], plan: Sequence[PlannedFrame], output: Path) -> None:
    """The input may have grown since, but every finished frame must still be in it: else it is another input."""
    planned = {str(frame.output_image): (True, _text(frame.output_label)) for frame in plan}
    for entry in (entry for entries in known.values() for entry in entries):
        if planned.get(entry.image) != (True, entry.label) and (output / entry.image).exists():
            raise ForeignPlanError(
                f"{output / entry.image}: of frame {entry.frame!r}, which this input would not write. {WAY_OUT}"
            )


def _still_valid(frame: PlannedFrame, entries: Sequence[ManifestEntry], output: Path) -> ManifestEntry | None:
    """The entry, if the frame's inputs and outputs are all as they were when it was finished.

    Files that merely go along are brought along once more where they are missing or have changed.

    Raises:
        StorageError: The disk or the way to it fails.
    """
    try:
        hashes = {"source_sha256": {sha256_of(frame.image)}, "image_sha256": {sha256_of(output / frame.output_image)}}
        if frame.label is not None and frame.output_label is not None:
            hashes["label_sha256"] = {sha256_of(frame.label), sha256_of(output / frame.output_label)}
        if frame.output_overlay is not None:
            hashes["overlay_sha256"] = {sha256_of(output / frame.output_overlay)}
        entry = next((entry for entry in entries if _agrees(entry, hashes)), None)
        if entry is None:
            return None
        for sidecar in frame.sidecars:
            if not _same(sidecar.path, output / sidecar.output):
                carry_along(sidecar.path, output / sidecar.output)
    except ImageError:  # what goes along is gone; reading the frame will say so
        return None
    except StorageError as error:
        if says_nothing_of_the_file(error):
            raise
        return None
    encoding = None if frame.label_encoding is None else dict(frame.label_encoding)
    update: dict[str, object] = {"frame": frame.name, "label_encoding": encoding, "source": str(frame.source)}
    if frame.output_overlay is None:  # nobody has looked whether it is still there
        update |= {"overlay": None, "overlay_sha256": None}
    if all(getattr(entry, key) == value for key, value in update.items()):
        return entry  # a copy takes 1.3 kB, and there may be a hundred thousand
    return entry.model_copy(update=update)


def _agrees(entry: ManifestEntry, hashes: Mapping[str, set[str]]) -> bool:
    """Whether every file that a field of the entry speaks of has the hash noted there."""
    return all({getattr(entry, field)} == found for field, found in hashes.items())


def _same(path: Path, copy: Path) -> bool:
    """Whether a file and its copy are one file or equal; StorageError where the first cannot be read."""
    expected = sha256_of(path)
    try:
        return sha256_of(copy) == expected
    except StorageError as error:
        if says_nothing_of_the_file(error):
            raise
        return False
