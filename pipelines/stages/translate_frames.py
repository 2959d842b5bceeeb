"""Translate every frame of a folder tree or of data sets: same names, same sizes, label maps carried along.

Meant to be killed. A frame is finished when its files have their names and the journal says so; the same command does
what is missing, and the folder ends up byte for byte as if nothing had happened. A bad file costs one frame.
"""

import errno
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from pydantic import JsonValue

from pipelines.data.files import sha256_of, storage_errors, sync_folder, write_atomically
from pipelines.data.images import read_image, to_image, to_tensor
from pipelines.data.manifest import MANIFEST, Journal, ManifestEntry, read_manifest, write_manifest
from pipelines.errors import ImageError, Interrupted, NoInputsError, NumericalError, StorageError, UserError
from pipelines.stages.translation_folder import WAY_OUT, ForeignTranslationError, claimed, set_translation_aside
from pipelines.stages.translation_plan import (
    ENCODERS,
    FrameToTranslate,
    plan_folder,
    plan_sets,
    refuse_touching_inputs,
)

if TYPE_CHECKING:  # a plan can be made and shown without waiting for torch
    from torch import Tensor

__all__ = ["Failure", "FrameToTranslate", "TranslationSummary", "plan_folder", "plan_sets", "translate_frames"]

FAILURES = "failures.jsonl"


@dataclass(frozen=True)
class Failure:
    """A frame that could not be translated, and why."""

    frame: FrameToTranslate
    reason: str


@dataclass(frozen=True)
class TranslationSummary:
    """What became of the frames: each was translated now, found finished (resumed), or failed."""

    translated: int
    resumed: int
    failures: tuple[Failure, ...]

    @property
    def failed(self) -> int:
        """Frames that are listed in `failures.jsonl` and not in the manifest."""
        return len(self.failures)

    @property
    def count_line(self) -> str:
        """The line that a run ends with: frames in, frames out."""
        done = self.translated + self.resumed
        parts = f"{self.translated} translated, {self.resumed} already there"
        if self.failed:
            return f"{done + self.failed} frames in, {done} frames out ({parts}); {self.failed} failed, see {FAILURES}"
        return f"{done} frames in = {done} frames out ({parts})"


def translate_frames(
    frames: Sequence[FrameToTranslate],
    output: Path,
    translate: "Callable[[Tensor], Tensor]",
    identity: Mapping[str, JsonValue],
    *,
    batch_size: int = 1,
    workers: int = 2,
    height: int | None = None,
    device: str = "cpu",
    restart: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> TranslationSummary:
    """Translate what is not finished yet, in name order, and write the manifest.

    Args:
        frames: From `plan_folder` or `plan_sets`.
        output: Folder of the translated set; made if missing.
        translate: Image (B, 3, H, W) in [0, 1] on `device` -> an image of the same shape and range.
        identity: What decides the result: "checkpoint_sha256", and whatever else (direction, precision). A folder that
            holds a translation of another identity is refused.
        batch_size: Neighbours of equal size that go through the network together. Above 1 a level may change here and
            there (sums are taken in another order), so that resumed and undisturbed runs are equal only nearly.
        workers: Threads that read ahead and write behind.
        height: Translate at this height, aspect kept, and bring the result back to the frame's own size; None: at its
            own size. Part of the identity.
        device: Where `translate` wants its image.
        restart: Set another translation that is in `output` aside, as NAME.replaced-1, instead of refusing it.
        progress: Called with the frames done and the frames in all, at the start and after each frame.
        stop_requested: Asked before each batch; once true, what is under way is finished and `Interrupted` raised.

    Returns:
        Counts. Failed frames are in `failures.jsonl`, the others in the manifest.

    Raises:
        NoInputsError: There are no frames, or every one failed.
        UserError: The folder holds something else, or is being written by another process; or memory ran out.
        StorageError: The disk refuses. What was finished stays.
        NumericalError: The network gave values that are not numbers.
        Interrupted: See `stop_requested`. The same call carries on.
    """
    if not frames:
        raise NoInputsError(f"There are no frames to translate into {output}")
    for name, value in (("batch_size", batch_size), ("workers", workers), ("height", height)):
        if value is not None and value < 1:
            raise UserError(f"{name} = {value}: must be at least 1")
    frames = sorted(frames, key=lambda frame: frame.name)
    refuse_touching_inputs(frames, output)

    def attempt() -> TranslationSummary:
        """One pass over what is missing."""
        with claimed(output, {"format": 1, **identity, "height": height}) as journal:
            work = _Work(
                output, str(identity["checkpoint_sha256"]), journal, batch_size, workers, len(frames), progress
            )
            missing = work.resume(frames)
            work.translate_all(missing, lambda batch: _translated(batch, translate, height, device), stop_requested)
            work.conclude()
        failures = tuple(work.failures)
        if not work.finished:
            raise NoInputsError(f"None of {len(frames)} frames could be translated; the first: {failures[0].reason}")
        return TranslationSummary(len(missing) - len(failures), len(frames) - len(missing), failures)

    try:
        return attempt()
    except ForeignTranslationError:
        if not restart:
            raise
        set_translation_aside(output)
        return attempt()


@dataclass(frozen=True)
class _Loaded:
    """A frame in memory: uint8 (H, W, 3) RGB, and the hashes of what it was read from."""

    frame: FrameToTranslate
    image: np.ndarray
    source_sha256: str
    label_sha256: str | None


@dataclass
class _Work:
    """The state of one call: what is finished, what failed, and where both are noted."""

    output: Path
    checkpoint_sha256: str
    journal: Journal
    batch_size: int
    workers: int
    total: int
    progress: Callable[[int, int], None]
    finished: dict[str, ManifestEntry] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def resume(self, frames: Sequence[FrameToTranslate]) -> list[FrameToTranslate]:
        """Take over what earlier runs finished and nothing has touched since; the rest is returned."""
        manifest = self.output / MANIFEST
        listed = {entry.frame: entry for entry in read_manifest(manifest)} if manifest.exists() else {}
        known = listed | self.journal.entries
        _refuse_strays(known, frames, self.output)
        with ThreadPoolExecutor(self.workers) as pool:
            kept = list(pool.map(lambda frame: _still_valid(frame, known.get(frame.name), self.output), frames))
        self.finished = {entry.frame: entry for entry in kept if entry is not None}
        missing = [frame for frame, entry in zip(frames, kept, strict=True) if entry is None]
        if missing and listed:  # a manifest says "complete", which is no longer so
            self.journal.append(entry for name, entry in listed.items() if name not in self.journal.entries)
            with storage_errors(manifest):
                manifest.unlink()
        self.report_progress()
        return missing

    def translate_all(
        self,
        frames: Sequence[FrameToTranslate],
        translate: "Callable[[Sequence[_Loaded]], Tensor]",
        stop_requested: Callable[[], bool],
    ) -> None:
        """Decode ahead, translate, encode behind; in order, with a bounded number of frames in memory."""
        saving: deque[tuple[FrameToTranslate, Future[ManifestEntry]]] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for batch in _batches(self._readable(frames, pool), self.batch_size):
                if stop_requested():
                    break
                for loaded, image in zip(batch, translate(batch), strict=True):
                    saving.append((loaded.frame, pool.submit(self._save, loaded, image)))
                while saving and (saving[0][1].done() or len(saving) > self.batch_size + self.workers):
                    self._note(*saving.popleft())
            while saving:
                self._note(*saving.popleft())
        finally:
            pool.shutdown(cancel_futures=True)
        done = len(self.finished) + len(self.failures)
        if done < self.total:
            raise Interrupted(f"{self.output}: stopped at {done} of {self.total} frames; the same command carries on")

    def conclude(self) -> None:
        """Failures, manifest, journal, in this order: whoever finds a manifest finds everything that it speaks of."""
        failures = self.output / FAILURES
        self.failures.sort(key=lambda failure: failure.frame.name)
        if self.failures:
            write_atomically(failures, b"".join(_failure_line(failure) for failure in self.failures))
        elif failures.exists():
            with storage_errors(failures):
                failures.unlink()
        manifest, finished = self.output / MANIFEST, sorted(self.finished.values(), key=lambda entry: entry.frame)
        # One that says so already keeps its time: for make, a newer manifest means that the segmenter is out of date.
        if finished and not (manifest.exists() and read_manifest(manifest) == finished):
            write_manifest(manifest, finished)
        if self.failures:
            # `make` deletes the manifest, its target, when frames failed; the journal then saves the work done.
            write_manifest(self.journal.path, finished)
        else:
            with storage_errors(self.journal.path):
                self.journal.path.unlink()

    def report_progress(self) -> None:
        """Tell the caller how many frames are done, well or badly."""
        self.progress(len(self.finished) + len(self.failures), self.total)

    def _readable(self, frames: Iterable[FrameToTranslate], pool: ThreadPoolExecutor) -> Iterator[_Loaded]:
        """The frames in order, read a few ahead; those that cannot be read are noted and left out."""
        loading: deque[Future[_Loaded | Failure]] = deque()
        waiting = iter(frames)
        while True:
            for frame in waiting:
                loading.append(pool.submit(_load, frame))
                if len(loading) > self.batch_size + self.workers:
                    break
            if not loading:
                return
            result = loading.popleft().result()
            if isinstance(result, Failure):
                self._fail(result)
            else:
                yield result

    def _save(self, loaded: _Loaded, image: "Tensor") -> ManifestEntry:
        """Write a frame's files; they count once the returned entry is in the journal."""
        frame = loaded.frame
        try:
            data = ENCODERS[frame.output_image.suffix](to_image(image))
        except NumericalError as error:
            raise NumericalError(f"{frame.image}: {error}") from error
        write_atomically(self.output / frame.output_image, data)
        if frame.label is not None and frame.output_label is not None:
            _carry_along(frame.label, self.output / frame.output_label)
        height, width = loaded.image.shape[:2]
        return ManifestEntry(
            frame=frame.name,
            image=str(frame.output_image),
            label=_text(frame.output_label),
            label_encoding=None if frame.label_encoding is None else dict(frame.label_encoding),
            source=str(frame.source),
            source_sha256=loaded.source_sha256,
            image_sha256=hashlib.sha256(data).hexdigest(),
            label_sha256=loaded.label_sha256,
            checkpoint_sha256=self.checkpoint_sha256,
            width=width,
            height=height,
        )

    def _note(self, frame: FrameToTranslate, saved: Future[ManifestEntry]) -> None:
        try:
            entry = saved.result()
        except StorageError as error:
            if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG):
                raise
            self._fail(Failure(frame, str(error)))  # the name is at fault, not the disk
            return
        self.journal.append([entry])
        self.finished[entry.frame] = entry
        self.report_progress()

    def _fail(self, failure: Failure) -> None:
        self.failures.append(failure)
        for path in (failure.frame.output_image, failure.frame.output_label):
            if path is not None and os.path.lexists(self.output / path):  # of an earlier run, when it could be read
                with storage_errors(self.output / path):
                    (self.output / path).unlink()
        self.report_progress()


def _load(frame: FrameToTranslate) -> _Loaded | Failure:
    """Read a frame. The label map is read too, so that a frame whose label cannot be carried along is not half done."""
    try:
        str(frame.output_image).encode()
    except UnicodeEncodeError:
        return Failure(frame, f"{str(frame.image)!a}: the name is not valid UTF-8; rename the file")
    try:
        image = read_image(frame.image)
        return _Loaded(frame, image, sha256_of(frame.image), None if frame.label is None else sha256_of(frame.label))
    except (ImageError, StorageError) as error:  # StorageError: here, a file that cannot be read
        return Failure(frame, str(error))


def _batches(frames: Iterable[_Loaded], batch_size: int) -> Iterator[list[_Loaded]]:
    """Neighbours of equal size, at most `batch_size` together."""
    batch: list[_Loaded] = []
    for loaded in frames:
        if batch and (len(batch) == batch_size or loaded.image.shape != batch[0].image.shape):
            yield batch
            batch = []
        batch.append(loaded)
    if batch:
        yield batch


def _translated(
    batch: Sequence[_Loaded], translate: "Callable[[Tensor], Tensor]", height: int | None, device: str
) -> "Tensor":
    """The translations of a batch, (B, 3, H, W) in [0, 1], each of its frame's own size."""
    import torch

    own_height, own_width = batch[0].image.shape[:2]
    size = (own_height, own_width) if height is None else (height, max(1, round(own_width * height / own_height)))
    try:
        with torch.inference_mode():
            image = torch.stack([to_tensor(loaded.image) for loaded in batch]).to(device)
            seen = _resized(image, size)
            translation = translate(seen)
            if translation.shape != seen.shape:
                raise ValueError(f"translate made {tuple(translation.shape)} of {tuple(seen.shape)}; expected the same")
            return _resized(translation, (own_height, own_width))
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"{batch[0].frame.image}: out of memory for {len(batch)} frame(s) of {own_width}x{own_height} on {device}; "
            "lower the batch size, or set a smaller height"
        ) from error


def _resized(image: "Tensor", size: tuple[int, int]) -> "Tensor":
    """Image (B, 3, H, W) -> `size` (height, width): means of areas where it shrinks, bicubic where it grows."""
    from torch.nn import functional

    if tuple(image.shape[-2:]) == size:
        return image
    if size[0] <= image.shape[-2] and size[1] <= image.shape[-1]:
        return functional.interpolate(image, size, mode="area")
    return functional.interpolate(image, size, mode="bicubic").clamp(0, 1)


def _carry_along(label: Path, destination: Path) -> None:
    """Give the label map a second name (no bytes are copied), else copy it. Its bytes are never touched."""
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    with storage_errors(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.unlink(missing_ok=True)
        os.link(label.resolve(), part)
    except OSError:  # another disk, or one without hard links
        with storage_errors(destination):
            data = label.read_bytes()
        write_atomically(destination, data)
        return
    with storage_errors(destination):
        os.replace(part, destination)
        part.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
        sync_folder(destination.parent)


def _text(path: PurePosixPath | None) -> str | None:
    return None if path is None else str(path)


def _failure_line(failure: Failure) -> bytes:
    line = {"frame": failure.frame.name, "source": str(failure.frame.source), "reason": failure.reason}
    return json.dumps(line).encode("ascii") + b"\n"


def _refuse_strays(known: Mapping[str, ManifestEntry], frames: Sequence[FrameToTranslate], output: Path) -> None:
    """The input may have grown since, but every finished frame must still be in it: else it is another input."""
    planned = {frame.name: (str(frame.output_image), _text(frame.output_label)) for frame in frames}
    for entry in known.values():
        if planned.get(entry.frame) != (entry.image, entry.label) and (output / entry.image).exists():
            raise ForeignTranslationError(
                f"{output / entry.image}: of frame {entry.frame!r}, which this input would not write. {WAY_OUT}"
            )


def _still_valid(frame: FrameToTranslate, entry: ManifestEntry | None, output: Path) -> ManifestEntry | None:
    """The entry, if the frame's inputs and outputs are all as they were when it was finished."""
    if entry is None:
        return None
    hashes = [(frame.image, entry.source_sha256), (output / frame.output_image, entry.image_sha256)]
    if frame.label is not None and frame.output_label is not None and entry.label_sha256 is not None:
        hashes += [(frame.label, entry.label_sha256), (output / frame.output_label, entry.label_sha256)]
    try:
        if any(sha256_of(path) != expected for path, expected in hashes):
            return None
    except StorageError:
        return None
    encoding = None if frame.label_encoding is None else dict(frame.label_encoding)
    return entry.model_copy(update={"label_encoding": encoding, "source": str(frame.source)})
