"""Training batches by step number.

The batch of a step is a pure function of (seed, step): which frames, which crops, which colours. So a resumed run goes
on with exactly the batches it would have had, whatever the number of worker processes, and there is no sampler state.
"""

import contextlib
import dataclasses
import math
import multiprocessing
import pickle
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, _utils, get_worker_info

from pipelines.data.disk.files import OUT_OF_RESOURCES
from pipelines.data.frames import FrameSet
from pipelines.data.images import to_tensor
from pipelines.data.sampling.augment import crop_window, fit_height
from pipelines.data.sampling.random_keys import keyed_random
from pipelines.errors import NoInputsError, StorageError, UserError
from segment.batches import Batch
from segment.classes import IGNORE_INDEX
from translate.methods.batches import UnpairedBatch


class FramePool:
    """Frames of several sets under one index, reduced once to the largest size that training needs and then kept.

    Args:
        sets: The frame sets, in order.
        height: No frame is kept higher than this; the width follows the aspect.
        kept_bytes: Frames beyond this much memory are read anew each time.
    """

    def __init__(self, sets: Sequence[FrameSet], height: int, kept_bytes: int = 2**30) -> None:
        self.places = [(frames, index) for frames in sets for index in range(len(frames))]
        self.height = height
        self._bytes_left = kept_bytes
        self._images: dict[int, np.ndarray] = {}
        self._label_maps: dict[int, np.ndarray] = {}
        if not self.places:
            raise NoInputsError(
                "there are no frames to train on: " + (", ".join(s.name for s in sets) or "no set given")
            )

    def __len__(self) -> int:
        return len(self.places)

    def image(self, index: int) -> np.ndarray:
        """uint8 (H, W, 3), at most `height` high."""
        if index in self._images:
            return self._images[index]
        frames, position = self.places[index]
        return self._keep(self._images, index, fit_height(frames.read_image(position), self.height))

    def label_map(self, index: int) -> np.ndarray:
        """uint8 (H, W) of train ids, of the size of `image(index)`; ignored throughout where the frame has none."""
        if index in self._label_maps:
            return self._label_maps[index]
        frames, position = self.places[index]
        shape = self.image(index).shape
        if not frames.has_label_map(position):
            return np.full(shape[:2], IGNORE_INDEX, np.uint8)
        return self._keep(self._label_maps, index, fit_labels(frames.read_label_map(position), shape))

    def read_all(self, labels: bool, progress: Callable[[int], None] = lambda done: None) -> None:
        """Read as many images as are kept, and every label map: a bad file shows itself now, not hours into training.

        Worker processes that are forked afterwards share what is kept here.

        Args:
            labels: Whether the label maps are wanted, of the frames that have any.
            progress: Called with the number of frames done.

        Raises:
            ImageError: A file cannot be used; it is named.
            NoInputsError: The label maps of a set are wanted and show no class: its loss would be nothing throughout.
        """
        keeping = True
        labelled, taught = set(), set()
        for index, (frames, position) in enumerate(self.places):
            if keeping:
                self.image(index)
                keeping = index in self._images
            if labels and frames.has_label_map(position):
                label_map = self.label_map(index) if keeping else frames.read_label_map(position)
                labelled.add(frames.name)
                if frames.name not in taught and (label_map != IGNORE_INDEX).any():
                    taught.add(frames.name)
            progress(index + 1)
        if untaught := sorted(labelled - taught):
            raise NoInputsError(
                f"no frame of {', '.join(untaught)} shows a class: every label map is ignored throughout, so there is "
                "nothing to learn from. Look at the settings of the set, and at its files with `sim2real data check`"
            )

    def _keep(self, kept: dict[int, np.ndarray], index: int, array: np.ndarray) -> np.ndarray:
        if array.nbytes <= self._bytes_left:
            self._bytes_left -= array.nbytes
            kept[index] = array
        return array

    def classes_by_frame(self, number_of_classes: int) -> np.ndarray:
        """Pixels of each class in each frame, (frames, classes), counted on the kept label maps."""
        counts = np.zeros((len(self), number_of_classes), np.int64)
        for index in range(len(self)):
            ids = np.bincount(self.label_map(index).ravel(), minlength=IGNORE_INDEX + 1)
            counts[index] = ids[:number_of_classes]
        return counts


@dataclass(frozen=True)
class Draws:
    """Which batches are drawn here: each is a function of the run's seed and of its step."""

    seed: int
    """The run's seed."""
    batch: int
    """Slots in a batch, each for one frame (of every domain)."""
    share: range | None = None
    """The slots to make, where several processes share a batch; None for all. What is in a slot does not depend on who
    makes it."""

    @property
    def slots(self) -> range:
        """The slots that are made here: this process's share, or all."""
        return range(self.batch) if self.share is None else self.share

    def frame_at(self, purpose: str, position: int, frames: int) -> int:
        """Whose turn it is among so many frames: each comes once before any comes again, in a new order each round.

        Args:
            purpose: What is drawn; frames for another purpose come in an order of their own.
            position: How many were drawn before.
            frames: How many there are.
        """
        rounds, place = divmod(position, frames)
        return int(keyed_random(self.seed, purpose, "order", rounds).permutation(frames)[place])


@dataclass(frozen=True)
class Crops:
    """How crops are cut for a translator."""

    height: int
    """Frames are brought to this height, times the random scale, before cropping."""
    size: tuple[int, int]
    """Width and height of the crops; smaller frames are enlarged to it."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the scale, drawn log-uniformly."""
    flip: bool = True
    """Mirror half of the crops."""

    def drawn_height(self, random: np.random.Generator) -> int:
        """What a frame is brought to before cropping: no less than a crop."""
        return self._at_scale(float(np.exp(random.uniform(*map(math.log, self.scale)))))

    def fixed_height(self) -> int | None:
        """The same where the scale leaves nothing to draw, else None."""
        return self._at_scale(self.scale[0]) if self.scale[0] == self.scale[1] else None

    def _at_scale(self, scale: float) -> int:
        return max(round(scale * self.height), self.size[1])

    def window(self, shape: tuple[int, ...], random: np.random.Generator) -> tuple[slice, slice]:
        """Rows and columns of a random crop; the columns run backwards where it is mirrored."""
        width, height = self.size
        top, left = crop_window(shape, (height, width), random)
        columns = slice(left, left + width)
        if self.flip and random.random() < 0.5:
            columns = slice(left + width - 1, left - 1 if left else None, -1)
        return slice(top, top + height), columns


class UnpairedBatches:
    """Batches for a translator: source and target crops that have nothing to do with each other.

    Every frame of a domain comes once before any comes again (a new order each round), as in the reference code. What
    guidance needs comes beside them: crops of label maps, and labelled target frames in rounds of their own.

    Args:
        source: Frames of the source.
        target: Frames of the target.
        draws: Which batches.
        crops: How they are cut.
        source_labels: Whether to crop label maps with the source; those that a frame lacks are ignored throughout.
        labelled_target: Labelled target frames; None for none.
    """

    def __init__(
        self,
        source: FramePool,
        target: FramePool,
        draws: Draws,
        crops: Crops,
        source_labels: bool = False,
        labelled_target: FramePool | None = None,
    ) -> None:
        self.source, self.target, self.labelled_target = source, target, labelled_target
        self.draws, self.crops, self.source_labels = draws, crops, source_labels

    def __call__(self, step: int) -> UnpairedBatch:
        """The batch of a step, or this process's part of it."""
        source, source_label_map = self._crops("source", self.source, step, self.source_labels)
        target, _ = self._crops("target", self.target, step)
        labelled, target_label_map = None, None
        if self.labelled_target is not None:
            labelled, target_label_map = self._crops("labelled_target", self.labelled_target, step, labels=True)
        return UnpairedBatch(source, target, source_label_map, labelled, target_label_map)

    def _crops(
        self, domain: str, pool: FramePool, step: int, labels: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        crops, label_maps = [], []
        seed, width = self.draws.seed, self.crops.size[0]
        for position in (step * self.draws.batch + slot for slot in self.draws.slots):
            index = self.draws.frame_at(domain, position, len(pool))
            image = fit_height(pool.image(index), self._height(domain, position), enlarge=True, least_width=width)
            window = self.crops.window(image.shape, keyed_random(seed, domain, "crop", position))
            crops.append(to_tensor(image[window]))
            if labels:
                label_map = fit_labels(pool.label_map(index), image.shape)[window]
                label_maps.append(torch.from_numpy(label_map.astype(np.int64)))
        return torch.stack(crops), torch.stack(label_maps) if labels else None

    def _height(self, domain: str, position: int) -> int:
        """What a frame is brought to before cropping."""
        fixed = self.crops.fixed_height()
        return fixed or self.crops.drawn_height(keyed_random(self.draws.seed, domain, "scale", position))


def fit_labels(label_map: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A label map brought to the height and width of an image, nearest neighbour."""
    height, width = shape[:2]
    return cv2.resize(label_map, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


class _Steps(Dataset):
    """The batches as a map-style data set, so that DataLoader's workers can make them ahead of time."""

    def __init__(self, make_batch: Callable[[int], Any], last: int) -> None:
        self.make_batch, self.last = make_batch, last

    def __len__(self) -> int:
        return self.last

    def __getitem__(self, step: int) -> Any:
        try:
            batch = self.make_batch(step)
        except UserError as error:
            return error  # DataLoader would wrap a worker's traceback around the message
        return batch if get_worker_info() is None else _to_send(batch)


@dataclass(frozen=True)
class _Pickled:
    """A batch on its way through a pipe."""

    data: bytes


def _to_send(batch: Any) -> Any:
    """A batch as a worker hands it on: in shared memory, or in bytes where that is full.

    Else its pages would be asked for by a thread of the queue, which prints why they are refused, drops the batch and
    leaves the loop waiting for ever. A container has 64 MB unless told otherwise: three batches of eight 512x256 crops.
    """
    try:
        for tensor in _tensors(batch):
            tensor.share_memory_()
    except RuntimeError:
        return _Pickled(pickle.dumps(batch))
    return batch


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    """All tensors of a batch."""
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, Batch):
        for field in dataclasses.fields(batch):
            yield from _tensors(getattr(batch, field.name))


LAST_MOMENTS = 2.0
"""Seconds in which a worker is gone that closed its files, or that was asked to leave and is not amid a batch."""


def stream(make_batch: Callable[[int], Any], first: int, last: int, workers: int) -> Generator[Any, None, None]:
    """Batches of steps first..last-1, in order, made by `workers` processes (0: in this one).

    With workers, OpenCV in this process is left on one thread: its thread pool does not survive a fork, and a forked
    worker that resizes that pool waits forever for threads it does not have. Close the stream (or exhaust it): that
    ends the workers, which no signal does.

    Raises:
        UserError: As `make_batch` raised it, whichever process it was in.
        StorageError, UserError: No worker can be started.
        RuntimeError: A worker is gone, see `lost_workers_named`.
    """
    if workers:
        cv2.setNumThreads(1)
    loader = DataLoader(
        _Steps(make_batch, last),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        generator=torch.Generator().manual_seed(0),
        worker_init_fn=_leave_signals_to_the_parent,
        prefetch_factor=4 if workers else None,
    )
    batches = _started(loader)
    try:
        for batch in batches:
            if isinstance(batch, UserError):
                raise batch
            yield pickle.loads(batch.data) if isinstance(batch, _Pickled) else batch
    except RuntimeError as error:
        if not str(error).startswith("Too many open files"):
            raise
        raise _no_workers("Too many open files", StorageError) from error
    except (EOFError, OSError) as error:
        # A process closes its files before anyone is told of its end. torch, which found it alive, lets this pass.
        if not workers or not connection.wait([worker.sentinel for worker in batches._workers], LAST_MOMENTS):
            raise
        raise RuntimeError("DataLoader worker was lost while it handed a batch over") from error
    finally:
        if workers:
            # It would do so when it is dropped: never, where the traceback of an error that nobody foresaw holds it.
            _end(batches)


def _end(batches: Any) -> None:
    """End the workers of a loader's iterator: ask them to leave, and kill those that do not; see below for SIGTERM.

    torch alone gives each that is amid a batch ten seconds, one after the other, and whoever sent a signal may not wait
    so long until the steps that were taken are saved.
    """

    def kill() -> None:
        for worker in batches._workers:
            worker.kill()

    if batches._worker_pids_set:  # or torch, which unsets it where it has ended them itself, takes it for an accident
        _utils.signal_handling._remove_worker_pids(id(batches))
        batches._worker_pids_set = False
    killing = threading.Timer(LAST_MOMENTS, kill)
    killing.start()
    try:
        batches._shutdown_workers()
    finally:
        killing.cancel()
        kill()


def _started(loader: DataLoader) -> Any:
    """The iterator of a loader's batches, its workers started: all or, also where a signal breaks off, none."""
    others = set(multiprocessing.active_children())
    try:
        return iter(loader)
    except BaseException as error:
        # They ignore SIGTERM, and Python waits for them before it ends.
        for worker in set(multiprocessing.active_children()) - others:
            with contextlib.suppress(RuntimeError):  # torch's, of a worker that it has come to know by now
                worker.kill()
                worker.join()
        # Half made, torch's iterator complains of itself while it is dropped.
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            traceback.clear_frames(error.__traceback__)
        finally:
            sys.unraisablehook = hook
        if not isinstance(error, OSError):
            raise
        kind = StorageError if error.errno in OUT_OF_RESOURCES else UserError
        raise _no_workers(error.strerror or str(error), kind) from error


def _no_workers(why: str, kind: type[UserError]) -> UserError:
    return kind(
        f"no processes to make batches can be had: {why}. Raise the limits (ulimit -n, -u), or use fewer --workers"
    )


def _leave_signals_to_the_parent(worker: int) -> None:
    """The parent ends its workers itself: terminals and batch systems send signals to the whole group, and a worker
    that died of one would take the parent down before it could save.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def tells_of_a_lost_worker(error: RuntimeError) -> bool:
    """Whether torch says by it that a worker is gone.

    A signal tells torch, so that this is raised wherever the process happens to be, not in the stream alone.
    """
    return str(error).startswith("DataLoader worker")


@contextlib.contextmanager
def lost_workers_named(what: str, kept: str) -> Iterator[None]:
    """Within the block, a worker that was killed or crashed is told in one line.

    Args:
        what: Is under way.
        kept: Where its state is.

    Raises:
        UserError: A worker is gone. What this process was at may be half done: nothing but the disk counts.
    """
    try:
        yield
    except RuntimeError as error:
        if not tells_of_a_lost_worker(error):
            raise
        # Raised while a batch is waited for, it is the cause of another error, which does not say how.
        cause = re.search(r"by signal: ([^.]+)", f"{error} {error.__cause__}")
        crashed = cause is not None and cause[1] != "Killed"
        how = f"crashed ({cause[1]})" if cause and crashed else "was killed, most likely for want of memory"
        remedy = "--workers 0" if crashed else "fewer --workers (0 starts none), a smaller batch or more memory"
        raise UserError(
            f"{what}: a process that makes batches {how}. Use {remedy}; the last checkpoint is kept in {kept}, and the "
            "same command carries on"
        ) from None


def largest_height(height: int, largest_scale: float) -> int:
    """How high a frame must be kept so that the largest random scale loses nothing."""
    return math.ceil(height * max(largest_scale, 1.0))
