"""Where pictures go as they come: a pipe or a file of raw pictures, or a film.

raw           height x width x 3 bytes a picture, rows from the top, red or blue first; label maps one byte a pixel
a film        a file of one of `CONTAINERS`, by PyAV (the extra `video`), H.264 by libx264, crf 16, preset veryfast; in
              .webm VP9, crf 20, for real time
times         the pictures' own. A film's count from its first picture: a source that has run for hours gives the hours
              along
"""

import contextlib
import errno
import io
import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipelines.data.disk.files import hidden_beside, settle, storage_errors
from pipelines.data.disk.ownership import hold, is_still
from pipelines.data.images import IMAGE_SUFFIXES
from pipelines.data.video.formats import CONTAINERS, CONVERSION, VIDEO_SUFFIXES, load_av, pixel_format
from pipelines.data.video.rates import LEAST_RATE, MOST_RATE, TICKS, film_rate, is_rate
from pipelines.data.video.raw import STANDARD, Order, open_raw
from pipelines.errors import Interrupted, StorageError, UserError

NO_RAW_NAMES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, ".gif")
"""Suffixes of files that raw pictures would not be looked for in."""
SECONDS_TO_READERS = 0.05
"""How often a named pipe is tried that nobody reads yet."""
BT_601 = 5
"""FFmpeg's number of the matrix that films are written with, and name."""
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}),
}
H264 = ("libx264", {"crf": "16", "preset": "veryfast", "bf": "0"})


class Sink(Protocol):
    """Takes pictures."""

    def write(self, picture: np.ndarray, seconds: float, rate: float | None = None) -> None:
        """Take a picture, uint8 (H, W, 3) RGB or (H, W), and its time; BrokenPipeError where nobody reads.

        `rate` is what the picture's source says of its frames a second, for a film that was told no other.
        """
        ...


def is_video_name(name: str) -> bool:
    """Whether what is written under a name is a video; all else is raw, a named pipe whatever it is called."""
    return name != STANDARD and Path(name).suffix.lower() in CONTAINERS and not Path(name).is_fifo()


def refuse_output(name: str, rate: float | None = None) -> None:
    """Refuse, before anything is loaded, what `open_sink` could not write; arguments as there.

    Raises:
        UserError: There is a file of this name, or no folder for it, or by its name it is something that we do not
            write here, and would hold raw pictures; or the rate is none that films have, or films need an extra.
    """
    if rate is not None and not is_rate(rate):
        raise UserError(f"rate is {rate}; expected {LEAST_RATE:g} to {MOST_RATE:g} frames a second")
    path = Path(name)
    if name != STANDARD and _is_file(path):
        raise UserError(f"--output {name} exists; choose another name")
    if is_video_name(name):
        load_av()
    elif path.suffix.lower() in NO_RAW_NAMES and not path.is_fifo():
        raise UserError(
            f"--output {name}: a video is written as one of {', '.join(CONTAINERS)}, and under any other name raw "
            "pictures; choose a name that is neither a video's nor an image's for these"
        )
    elif not path.parent.is_dir():
        raise UserError(f"--output {name} cannot be written: there is no folder {path.parent}; make it first")


@contextlib.contextmanager
def open_sink(
    name: str,
    order: Order = "rgb24",
    rate: float | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> Iterator[Sink]:
    """Where pictures go, until the end of the block; of no pictures no file is left.

    Args:
        name: "-" for standard output, a pipe or file that gets raw pictures, or a video's name.
        order: Of the colours of raw pictures.
        rate: Frames a second that a video names; its times are the pictures' own, counted from the first one's. None:
            as the first picture's source says, or 25.
        stop_requested: Asked while nobody has opened a named pipe for reading.

    Raises:
        UserError: As of `refuse_output`; or it cannot be written. Of a film, from its first picture on: another
            process is making it; and in the end: a file has got its name meanwhile, so the film has another one.
        Interrupted: A stop was requested before anybody read the pipe.
        StorageError: The disk refuses.
    """
    refuse_output(name, rate)
    if is_video_name(name):
        video = VideoSink(Path(name), rate)
        with video.written():
            yield video
        return
    path = Path(name)
    ours = name != STANDARD and not path.exists()
    with _opened_pipe(name, stop_requested) if path.is_fifo() else open_raw(name, "wb") as stream:
        try:
            yield RawSink(stream, order, name)
        finally:
            if ours and stream.tell() == 0:
                path.unlink()  # or the next try would find a file of this name


def _opened_pipe(name: str, stop_requested: Callable[[], bool]) -> io.FileIO:
    """A named pipe, once somebody reads it. Plainly opened it would wait for that, whatever signals come."""
    while not stop_requested():
        try:
            stream = io.FileIO(os.open(name, os.O_WRONLY | os.O_NONBLOCK), "wb")
        except OSError as error:
            if error.errno != errno.ENXIO:  # all but "nobody reads"
                raise UserError(f"{name} cannot be written: {error.strerror}. Check the path") from error
            time.sleep(SECONDS_TO_READERS)
        else:
            os.set_blocking(stream.fileno(), True)
            return stream
    raise Interrupted(f"nobody has opened the pipe --output {name} for reading")


def _is_file(path: Path) -> bool:
    """A pipe and a device such as /dev/null are there to be written to."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode))


class RawSink:
    """Pictures as bytes, one after the other."""

    def __init__(self, stream: io.FileIO, order: Order, name: str) -> None:
        self._stream, self._order, self._name = stream, order, name

    def write(self, picture: np.ndarray, seconds: float, rate: float | None = None) -> None:
        """See `Sink`. StorageError where the disk refuses."""
        if picture.ndim == 3 and self._order == "bgr24":
            picture = picture[..., ::-1]
        left = memoryview(np.ascontiguousarray(picture)).cast("B")
        try:
            while left:
                count = self._stream.write(left)
                if count is None:  # a pipe that somebody has told not to wait is full
                    select.select([], [self._stream], [])
                left = left[count or 0 :]
        except BrokenPipeError:  # whoever reads has seen enough, which is no failure
            raise
        except OSError as error:
            raise StorageError(f"--output {self._name} cannot be written: {error.strerror}. Check the disk") from error


class VideoSink:
    """Pictures as a video, which gets its name when it is whole.

    Until then they are in a hidden neighbour that is one for all processes, and held: a killed one's is written over.
    """

    def __init__(self, path: Path, rate: float | None) -> None:
        self._av = load_av()
        self._path = path
        self._part = hidden_beside(path, ".part")
        self._undo = contextlib.ExitStack()
        self._rate = rate
        self._container: Any = None
        self._stream: Any = None
        self._first = 0.0
        self._last = -1

    @contextlib.contextmanager
    def written(self) -> Iterator[None]:
        """Write it within the block; a video without pictures, or one that failed, is not made.

        Raises:
            UserError: A file has got its name meanwhile; it is kept under another one.
            StorageError: The disk refuses.
        """
        with self._undo:
            yield  # what fails in here beside the writing, a camera for one, is not laid to the disk
            if self._container is not None:
                with storage_errors(self._path):
                    self._container.mux(self._stream.encode(None))
                    self._close()
                    self._settle()

    def write(self, picture: np.ndarray, seconds: float, rate: float | None = None) -> None:
        """See `Sink`. Times that do not rise are moved on by a tick.

        Raises:
            StorageError: The disk refuses.
            UserError: The picture is of another size than the first; a film has one. Or it is the first, and there is
                a file of the film's name by now, or another process that makes one.
        """
        with storage_errors(self._path):
            self._write(picture, seconds, rate)

    def _write(self, picture: np.ndarray, seconds: float, rate: float | None) -> None:
        if self._container is None:
            self._begin(picture, rate)
            self._first = seconds
        height, width = picture.shape[:2]
        first = (self._stream.width, self._stream.height)
        if (width, height) != first:
            raise UserError(
                f"--output {self._path}: a picture is {width}x{height}, the film's first was {first[0]}x{first[1]}; a "
                "film has one size, so resize it or write another film"
            )
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        frame = frame.reformat(format=self._stream.pix_fmt, dst_colorspace=BT_601, interpolation=CONVERSION)
        self._last = max(self._last + 1, round((seconds - self._first) * TICKS))
        frame.pts, frame.time_base = self._last, Fraction(1, TICKS)
        self._container.mux(self._stream.encode(frame))

    def _close(self) -> None:
        if self._container is not None:
            with storage_errors(self._path):
                self._container.close()

    def _settle(self) -> None:
        place, count = self._path, 0
        while os.path.lexists(place):
            count += 1
            stem = self._path.stem[:50]  # names are of 255 bytes at most, and a letter of up to 4
            place = self._path.with_name(f"{stem}.kept-{count}{self._path.suffix}")
        settle(self._part, place)
        if count:
            raise UserError(
                f"--output {self._path}: a file of this name has appeared meanwhile and is left as it is; the film is "
                f"{place}"
            )

    def _take_name(self) -> None:
        """Keep other processes from the same film, until all is undone."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        busy = f"--output {self._path}: another process is making it; choose another name"
        lock = self._undo.enter_context(hold(self._part, busy))

        def discard() -> None:
            """Not what somebody else has under the part's name once ours is a film."""
            if is_still(self._part, lock):
                self._part.unlink()

        self._undo.callback(discard)
        self._undo.callback(self._close)
        if _is_file(self._path):
            raise UserError(f"--output {self._path} exists; choose another name")

    def _begin(self, picture: np.ndarray, rate: float | None) -> None:
        self._take_name()
        container_name = CONTAINERS[self._path.suffix.lower()]
        encoder, options = ENCODERS.get(container_name, H264)
        named = film_rate(rate if self._rate is None else self._rate).limit_denominator(1001)
        self._container = self._av.open(str(self._part), "w", format=container_name)
        self._stream = self._container.add_stream(encoder, rate=named)
        height, width = picture.shape[:2]
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = pixel_format(width, height)
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TICKS)
        # Of a film that names none, players take BT.709 from 720 lines on; `read_frames` takes BT.601.
        self._stream.codec_context.colorspace = BT_601
        self._stream.options = options
