"""The flow of frames through a network: decoded ahead, computed, encoded behind, all at the same time.

One thread feeds the network and does nothing else; a few others read and write around it. The frames in memory at one
time are bounded by the batch and the number of threads, however long the list.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipelines.batch_inference.plan import PlannedFrame, refuse_unwritable_name
from pipelines.batch_inference.record import Failure, Record
from pipelines.batch_inference.write import Loaded
from pipelines.data.disk.files import says_nothing_of_the_file, sha256_of
from pipelines.data.disk.manifest import ManifestEntry
from pipelines.data.images import image_error, read_file_header, read_image_and_alpha
from pipelines.errors import ImageError, Interrupted, StorageError

if TYPE_CHECKING:  # a plan can be made and shown without waiting for torch
    from torch import Tensor

Reader = Callable[[PlannedFrame], np.ndarray]


MOST_PIXELS = 2**25
"""A frame of 8K has 33 million. What is larger at the height that was asked for is a stripe, and would take all memory.
"""


class FrameNetwork(Protocol):
    """What a batch of frames goes through: a translator, a segmenter."""

    def refuse(self, source: Path, size: tuple[int, int]) -> None:
        """ImageError where a frame of a height and width cannot be given to it."""
        ...

    @property
    def batch_size(self) -> int:
        """Frames that go through together."""
        ...

    def __call__(self, batch: Sequence[np.ndarray], source: Path) -> "Sequence[Tensor] | Tensor":
        """One result per frame of `batch`, which are of one shape; `source` is what a message names."""
        ...


class Writer(Protocol):
    """What becomes of a frame's result."""

    def write(self, loaded: Loaded, result: "Tensor", output: Path) -> ManifestEntry:
        """Write a frame's files into the folder `output`; ImageError where the frame is at fault."""
        ...


def refuse_stripe(source: Path, size: tuple[int, int], height: int) -> None:
    """ImageError where a frame of `size` (height, width) is so long that at another height it takes all memory."""
    own_height, width = size
    if height * max(1.0, width * height / own_height) > MOST_PIXELS:
        raise image_error(source, f"{width}x{own_height} pixels are too long a stripe at height {height}")


def process_frames(
    frames: Sequence[PlannedFrame],
    record: Record,
    network: FrameNetwork,
    writer: Writer,
    read: Reader | None,
    stop_requested: Callable[[], bool],
) -> None:
    """Put frames through in order and note each as it is finished; arguments as of `work_through`.

    Raises:
        Interrupted: A stop was requested; what was under way is finished.
    """
    saving: deque[tuple[PlannedFrame, Future[ManifestEntry]]] = deque()
    ahead = network.batch_size + record.check.workers
    pool = ThreadPoolExecutor(record.check.workers)
    try:
        load = partial(_load, read=read, network=network)
        readable = _readable(frames, record, load, pool, ahead, stop_requested)
        for batch in _batches(readable, network.batch_size):
            if stop_requested():
                break
            results = network([loaded.pixels for loaded in batch], batch[0].frame.image)
            for loaded, result in zip(batch, results, strict=True):
                saving.append((loaded.frame, pool.submit(writer.write, loaded, result, record.output)))
            while saving and (saving[0][1].done() or len(saving) > ahead):
                record.note(*saving.popleft())
        while saving:
            record.note(*saving.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
    if record.done < record.total:
        raise Interrupted(
            f"{record.output}: stopped at {record.done} of {record.total} frames; the same command carries on"
        )


def _readable(
    frames: Iterable[PlannedFrame],
    record: Record,
    load: "Callable[[PlannedFrame], Loaded | Failure]",
    pool: ThreadPoolExecutor,
    ahead: int,
    stop_requested: Callable[[], bool],
) -> Iterator[Loaded]:
    """The frames in order, read a few ahead; those that cannot be read are noted and left out.

    A stop is heard here too: while frames fail there are no batches.
    """
    loading: deque[Future[Loaded | Failure]] = deque()
    waiting = iter(frames)
    while not stop_requested():
        for frame in waiting:
            loading.append(pool.submit(load, frame))
            if len(loading) > ahead:
                break
        if not loading:
            return
        result = loading.popleft().result()
        if isinstance(result, Failure):
            record.fail(result)
        else:
            yield result


def _load(frame: PlannedFrame, read: Reader | None, network: FrameNetwork) -> Loaded | Failure:
    """Read a frame. What goes along is read too, so that a frame whose label cannot be carried is not half done.

    Hashes come before pixels: those of a file that is rewritten in between are not the new file's, so the next run does
    the frame again.

    Raises:
        StorageError: The disk or the way to it fails, or the process is out of descriptors or memory.
    """
    try:
        refuse_unwritable_name(frame)
        source_sha256 = sha256_of(frame.image)
        label_sha256 = None if frame.label is None else sha256_of(frame.label)
        for sidecar in frame.sidecars:
            sha256_of(sidecar.path)
        pixels, alpha = read_image_and_alpha(frame.image) if read is None else (read(frame), None)
        if read is None:
            _refuse_turned_apart(frame)
        network.refuse(frame.image, (pixels.shape[0], pixels.shape[1]))
        return Loaded(frame, pixels, alpha, source_sha256, label_sha256)
    except ImageError as error:
        return Failure(frame, str(error))
    except StorageError as error:
        if says_nothing_of_the_file(error):  # as every other frame would fail now
            raise
        return Failure(frame, f"{error}. Expected a file that is there and may be read", unread=True)


def _refuse_turned_apart(frame: PlannedFrame) -> None:
    """The translation is upright and the label map keeps its own tag: both must say the same."""
    if frame.label is None:
        return
    image = read_file_header(frame.image).orientation
    label = image
    with suppress(ImageError):  # a label map that is no image is not ours to judge
        label = read_file_header(frame.label).orientation
    if image != label:
        raise image_error(
            frame.image,
            f"has EXIF orientation {image}, its label map {frame.label} has {label}: one would be turned and the other "
            "not. Turn the pixels and remove the tag",
        )


def _batches(frames: Iterable[Loaded], batch_size: int) -> Iterator[list[Loaded]]:
    """Neighbours of equal size, at most `batch_size` together."""
    batch: list[Loaded] = []
    for loaded in frames:
        if batch and (len(batch) == batch_size or loaded.pixels.shape != batch[0].pixels.shape):
            yield batch
            batch = []
        batch.append(loaded)
    if batch:
        yield batch
