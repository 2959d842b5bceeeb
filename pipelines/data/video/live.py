"""Frames from what has no index and perhaps no end (a pipe, a network camera, a film as it comes) and where they go.

raw           height x width x 3 bytes a frame, rows from the top, red or blue first; label maps one byte a pixel
all else      in: whatever FFmpeg opens, by PyAV (the extra `video`); out: a file of one of `CONTAINERS`
damage        costs the frame, and a line says so: bytes that are missing at the end, a packet that cannot be decoded,
              a frame of another size than the first
times         those of the source; of raw frames, and where there are none, so many a second. A film's count from its
              first picture: a source that has run for hours gives the hours along
written as    H.264 by libx264, crf 16, preset veryfast; in .webm VP9, crf 20, for real time
"""

import contextlib
import errno
import heapq
import io
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from pipelines.data.decoding.headers import MAX_PIXELS
from pipelines.data.disk.files import hidden_beside, storage_errors
from pipelines.data.disk.ownership import hold, is_still
from pipelines.data.images import IMAGE_SUFFIXES, image_error
from pipelines.data.video.recorded import (
    CONTAINERS,
    CONVERSION,
    IN_DECODING_ORDER,
    VIDEO_SUFFIXES,
    is_video,
    load_av,
    not_as_stored,
    pixel_format,
    settle,
)
from pipelines.errors import ImageError, Interrupted, StorageError, UserError

Order = Literal["rgb24", "bgr24"]
Lost = Callable[[str], None]
"""Is told of each frame that is lost, and why."""

STANDARD = "-"
"""Name of standard input and output."""
NO_RAW_NAMES = (*VIDEO_SUFFIXES, *IMAGE_SUFFIXES, ".gif")
"""Suffixes of files that raw pictures would not be looked for in."""
USUAL_RATE = 25.0
SECONDS_TO_READERS = 0.05
"""How often a named pipe is tried that nobody reads yet."""
BT_601 = 5
"""FFmpeg's number of the matrix that films are written with, and name."""
TICKS = 1000
"""Of a second, in videos that are written: Matroska counts no finer, and would give two frames one time."""
LEAST_RATE, MOST_RATE = 0.01, float(TICKS)
"""Frames a second: such as film or stream have, and no finer than films count."""
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "row-mt": "1"}),
}
H264 = ("libx264", {"crf": "16", "preset": "veryfast", "bf": "0"})


@dataclass(frozen=True)
class LiveFrame:
    """A frame, its time in its stream, and when it was here as a whole."""

    pixels: np.ndarray
    """uint8 (H, W, 3) RGB."""
    seconds: float
    arrived: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""


# --- in --------------------------------------------------------------------------------------------


def read_raw(
    name: str, size: tuple[int, int], lost: Lost, order: Order = "rgb24", rate: float = USUAL_RATE
) -> Iterator[LiveFrame]:
    """Raw frames from a pipe or file until it ends.

    Args:
        name: Path, or "-" for standard input.
        size: Width and height.
        lost: Told of a last frame that is not whole.
        order: Of the colours.
        rate: Frames a second, by which their times are counted.

    Raises:
        ImageError: It ends with an error, as a connection that is reset does; what came before has been given.
        UserError: The file cannot be opened, or is a video by its name, whose bytes would make frames all the same.
    """
    width, height = size
    refuse_raw(name, size)
    with _opened_raw(name, "rb") as stream:
        number = 0
        while True:
            pixels = np.empty((height, width, 3), np.uint8)
            try:
                count = _read_fully(stream, memoryview(pixels).cast("B"))
            except OSError as error:
                raise _ended(name, error) from error
            if count < pixels.size:
                if count:
                    hint = "" if number else "; --size may be wrong"
                    lost(f"frame {number + 1} is cut off: {count} of its {pixels.size} bytes came{hint}")
                return
            yield LiveFrame(pixels if order == "rgb24" else np.ascontiguousarray(pixels[..., ::-1]), number / rate)
            number += 1


def refuse_raw(name: str, size: tuple[int, int]) -> None:
    """UserError where `read_raw` would not read: a video by its name, or frames of a size that is none."""
    width, height = size
    if is_video(Path(name)) and not Path(name).is_fifo():
        raise UserError(f"--input {name} is a video, which brings its size along; leave out --size, that of raw frames")
    if not 0 < width * height <= MAX_PIXELS:
        raise UserError(f"--size {width} {height} is no size that we read; expected up to {MAX_PIXELS} pixels")


def _ended(name: str, error: Any) -> ImageError:
    return image_error(Path(name), f"the stream ended: {error.strerror or error}")


def _read_fully(stream: io.FileIO, buffer: memoryview) -> int:
    filled = 0
    while filled < len(buffer):
        count = stream.readinto(buffer[filled:])
        if count is None:  # a pipe that somebody has told not to wait has nothing yet, which is not its end
            select.select([stream], [], [])
            continue
        if count == 0:
            break
        filled += count
    return filled


def _opened_raw(name: str, mode: Literal["rb", "wb"]) -> io.FileIO:
    """Unbuffered, and not Python's own object of the standard stream: that one must not be at work when Python ends."""
    if name == STANDARD:
        standard = sys.__stdin__ if mode == "rb" else sys.__stdout__
        if standard is None:  # as `<&-` and `>&-` leave it
            option, words = ("--input", "input") if mode == "rb" else ("--output", "output")
            raise UserError(f"{option} -: standard {words} is closed; give it something, or name a pipe or a file")
        return io.FileIO(standard.fileno(), mode, closefd=False)
    try:
        return io.FileIO(name, mode)
    except OSError as error:
        verb = "read" if mode == "rb" else "written"
        raise UserError(f"{name} cannot be {verb}: {error.strerror}. Check the path") from error


def read_opened(
    name: str, lost: Lost, container_name: str | None = None, rate: float | None = None
) -> Iterator[LiveFrame]:
    """The frames of whatever FFmpeg opens: a file, a network camera, a pipe, as they come.

    Args:
        name: Path, address (rtsp://…), or "-" for standard input.
        lost: Told of each frame that cannot be decoded, or is not of the first one's size.
        container_name: FFmpeg's name of the format; None: it finds out.
        rate: Frames a second, where the source gives no times; None: its own rate.

    Raises:
        ImageError: It holds no pictures, is to be shown turned, or ends with an error; what came before has been given.
        UserError: It cannot be opened, or the extra `video` is not installed.
    """
    av = load_av()
    try:
        container = av.open("pipe:0" if name == STANDARD else name, format=container_name)
    except (av.error.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--input {name} cannot be opened: {reason}. Expected a video, an address such as rtsp://…, or raw frames "
            "and their --size"
        ) from error
    with container:
        if not container.streams.video:
            raise image_error(Path(name), "holds no pictures. Expected a video")
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        yield from _decoded(container, stream, name, lost, rate or float(stream.average_rate or USUAL_RATE))


def _decoded(container: Any, stream: Any, name: str, lost: Lost, rate: float) -> Iterator[LiveFrame]:
    number, size = 0, None
    times = _TimesInOrder() if container.format.name in IN_DECODING_ORDER else None
    for packet in _packets(container, stream, name):
        if times is not None:
            times.await_picture_of(packet)
        try:
            pictures = packet.decode()
        except load_av().error.FFmpegError as error:
            number += 1
            if times is not None:
                times.give_up(packet)
            # Decoders hand frames out late, and in another order than packets come, so a packet is named by its time.
            place = "" if packet.pts is None else f", at {float(packet.pts * packet.time_base):.2f} s"
            lost(f"a frame{place}, cannot be decoded: {error.strerror or error}")
            continue
        for picture in pictures:
            number += 1
            time = picture.time if times is None else times.next()
            own = (picture.width, picture.height)
            size = size or own
            if turned := not_as_stored(picture):
                raise image_error(Path(name), f"{turned}; turn it first")
            if picture.is_corrupt:
                lost(f"frame {number} is damaged")
            elif own != size:
                lost(f"frame {number} is of {own[0]}x{own[1]} pixels; the first was of {size[0]}x{size[1]}")
            elif own[0] * own[1] > MAX_PIXELS:
                raise image_error(Path(name), f"its frames are {own[0]}x{own[1]}, which is no size that we read")
            else:
                seconds = (number - 1) / rate if time is None else float(time)
                pixels = picture.reformat(format="rgb24", interpolation=CONVERSION).to_ndarray()
                yield LiveFrame(pixels, seconds)


class _TimesInOrder:
    """Times of pictures whose packets tell the order of decoding alone, which a picture would be given as its own.

    Pictures are shown in as many steps as they are decoded in, so each gets the earliest time that is left.
    """

    def __init__(self) -> None:
        self._waiting: list[float] = []

    def await_picture_of(self, packet: Any) -> None:
        """A packet goes to the decoder, which gives its picture now or later."""
        time = self._time(packet)
        if time is not None:
            heapq.heappush(self._waiting, time)

    def give_up(self, packet: Any) -> None:
        """A packet cannot be decoded, and its place stays empty."""
        time = self._time(packet)
        if time in self._waiting:
            self._waiting.remove(time)
            heapq.heapify(self._waiting)

    def next(self) -> float | None:
        """Of the next picture; None where no packet told one."""
        return heapq.heappop(self._waiting) if self._waiting else None

    @staticmethod
    def _time(packet: Any) -> float | None:
        ticks = packet.pts if packet.dts is None else packet.dts
        return None if ticks is None or not packet.size else float(ticks * packet.time_base)


def _packets(container: Any, stream: Any, name: str) -> Iterator[Any]:
    """All packets; how the stream fails, as a camera that is unplugged does, becomes one line that names it."""
    error_type = load_av().error.FFmpegError
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except error_type as error:
            raise _ended(name, error) from error
        if packet is None:
            return
        yield packet


# --- out -------------------------------------------------------------------------------------------


class Sink(Protocol):
    """Takes pictures."""

    def write(self, picture: np.ndarray, seconds: float) -> None:
        """Take a picture, uint8 (H, W, 3) RGB or (H, W), and its time; BrokenPipeError where nobody reads."""
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
    if rate is not None and not LEAST_RATE <= rate <= MOST_RATE:
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
        rate: Frames a second that a video names; its times are the pictures' own, counted from the first one's.
        stop_requested: Asked while nobody has opened a named pipe for reading.

    Raises:
        UserError: As of `refuse_output`; or it cannot be written. Of a film, from its first picture on: another
            process is making it; and in the end: a file has got its name meanwhile, so the film has another one.
        Interrupted: A stop was requested before anybody read the pipe.
        StorageError: The disk refuses.
    """
    refuse_output(name, rate)
    if is_video_name(name):
        video = VideoSink(Path(name), USUAL_RATE if rate is None else rate)
        with video.written():
            yield video
        return
    path = Path(name)
    ours = name != STANDARD and not path.exists()
    with _opened_pipe(name, stop_requested) if path.is_fifo() else _opened_raw(name, "wb") as stream:
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

    def write(self, picture: np.ndarray, seconds: float) -> None:
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

    def __init__(self, path: Path, rate: float) -> None:
        self._av = load_av()
        self._path = path
        self._part = hidden_beside(path, ".part")
        self._undo = contextlib.ExitStack()
        self._rate = Fraction(rate).limit_denominator(1001)
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

    def write(self, picture: np.ndarray, seconds: float) -> None:
        """See `Sink`. Times that do not rise are moved on by a tick.

        Raises:
            StorageError: The disk refuses.
            UserError: The picture is of another size than the first; a film has one. Or it is the first, and there is
                a file of the film's name by now, or another process that makes one.
        """
        with storage_errors(self._path):
            self._write(picture, seconds)

    def _write(self, picture: np.ndarray, seconds: float) -> None:
        if self._container is None:
            self._begin(picture)
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

    def _begin(self, picture: np.ndarray) -> None:
        self._take_name()
        container_name = CONTAINERS[self._path.suffix.lower()]
        encoder, options = ENCODERS.get(container_name, H264)
        self._container = self._av.open(str(self._part), "w", format=container_name)
        self._stream = self._container.add_stream(encoder, rate=self._rate)
        height, width = picture.shape[:2]
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = pixel_format(width, height)
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, TICKS)
        # Of a film that names none, players take BT.709 from 720 lines on; `read_frames` takes BT.601.
        self._stream.codec_context.colorspace = BT_601
        self._stream.options = options
