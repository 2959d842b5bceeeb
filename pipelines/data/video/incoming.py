"""Frames from what has no index and perhaps no end: a pipe, a network camera, a film as it comes.

raw           height x width x 3 bytes a frame, rows from the top, red or blue first
all else      whatever FFmpeg opens, by PyAV (the extra `video`)
damage        costs the frame, and a line says so: bytes that are missing at the end, a packet that cannot be decoded,
              a frame of another size than the first
times         those of the source; of raw frames, and where there are none, so many a second
"""

import heapq
import io
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.decoding.headers import MAX_PIXELS
from pipelines.data.images import image_error
from pipelines.data.video.formats import CONVERSION, IN_DECODING_ORDER, is_video, load_av, not_as_stored
from pipelines.data.video.rates import USUAL_RATE, film_rate
from pipelines.data.video.raw import STANDARD, Order, open_raw
from pipelines.errors import ImageError, UserError

Lost = Callable[[str], None]
"""Is told of each frame that is lost, and why."""


@dataclass(frozen=True)
class LiveFrame:
    """A frame, its time in its stream, and when it was here as a whole."""

    pixels: np.ndarray
    """uint8 (H, W, 3) RGB."""
    seconds: float
    rate: float = USUAL_RATE
    """Frames a second that its stream names."""
    arrived: float = field(default_factory=time.monotonic)
    """By the monotonic clock."""


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
    with open_raw(name, "rb") as stream:
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
            pixels = pixels if order == "rgb24" else np.ascontiguousarray(pixels[..., ::-1])
            yield LiveFrame(pixels, number / rate, rate)
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
        yield from _decoded(container, stream, name, lost, rate or float(film_rate(stream.average_rate)))


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
                yield LiveFrame(pixels, seconds, rate)


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
