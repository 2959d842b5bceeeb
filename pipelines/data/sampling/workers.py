"""Processes that make batches ahead of time, and what is said and left behind where one of them, or all, must end.

They are torch's DataLoader's. A signal that ends the training must find them gone within moments, and a worker that is
lost must be told in a line: neither is so of the loader alone.
"""

import contextlib
import dataclasses
import multiprocessing
import pickle
import re
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from multiprocessing import connection
from types import TracebackType
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, _utils, get_worker_info

from pipelines.data.disk.files import OUT_OF_RESOURCES
from pipelines.data.parents import leave_signals_to_the_parent, signals_held_back
from pipelines.errors import StorageError, UserError
from segment.batches import Batch


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
        worker_init_fn=_begin,
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
    others, batches = set(multiprocessing.active_children()), None
    try:
        with signals_held_back():
            batches = iter(loader)
        return batches
    except BaseException as error:
        if batches is not None and loader.num_workers:  # a signal that was held back
            _end(batches)
            raise
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


def _begin(worker: int) -> None:
    leave_signals_to_the_parent()
    sys.excepthook = _print_unless_the_parent_left


def _print_unless_the_parent_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What a worker prints of an error in the thread that hands its shared memory over: nothing where the parent, which
    a signal broke off, has hung up.
    """
    hung_up = isinstance(error, (EOFError, ConnectionError)) or (isinstance(error, OSError) and error.errno is None)
    if not hung_up:
        sys.__excepthook__(kind, error, trace)


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
