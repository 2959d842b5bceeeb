"""Videos with an end, read strictly: the facts of their index, then frame by frame.

PyAV (the extra `video`) brings FFmpeg along. One written rule each:

    times       those of the index; AVI keeps only the packets' order, MPEG streams may keep none: an even rate
    shown       as it is stored: a tag that turns the pictures refuses the video; what it was trimmed of is no frame
    damage      a frame that cannot be decoded, or was cut off, refuses the video
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.decoding.headers import MAX_PIXELS
from pipelines.data.disk.files import OUT_OF_REACH, open_regular, says_nothing_of_the_file
from pipelines.data.images import image_error
from pipelines.data.video.container import missing_part
from pipelines.data.video.formats import CONVERSION, EVEN_FORMATS, IN_DECODING_ORDER, load_av, not_as_stored
from pipelines.data.video.rates import film_rate
from pipelines.errors import ImageError, StorageError, UserError

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)


@dataclass(frozen=True)
class VideoFacts:
    """What a video is before it is decoded.

    `times` are its frames' presentation times in units of `time_base`; where `timed` is false the file leaves them out,
    and they follow from the packets' order or the rate. `pixel_shape` is width by height of a pixel, None where the
    file does not say, and means square ones. A `trimmed` one holds pictures that are not to be shown, before or behind
    the others: they are decoded along, and are no frames.
    """

    width: int
    height: int
    time_base: Fraction
    rate: Fraction
    times: tuple[int, ...]
    colour_matrix: int
    timed: bool = True
    pixel_shape: Fraction | None = None
    trimmed: bool = False

    def __len__(self) -> int:
        return len(self.times)


def read_facts(path: Path) -> VideoFacts:
    """Read the index of a video's packets; nothing is decoded.

    Raises:
        ImageError: It is no video, is damaged, or is too large.
        UserError: The extra `video` is not installed.
        StorageError: The disk or the way to it fails.
    """
    load_av()
    _refuse_cut_off(path)
    with open_alone(path) as container:
        stream = container.streams.video[0]
        context, base = stream.codec_context, stream.time_base
        if not 0 < context.width * context.height <= MAX_PIXELS:
            raise image_error(path, f"its frames are {context.width}x{context.height}, which is no size that we read")
        stored = [packet for packet in container.demux(stream) if packet.size]
        packets = [(packet.pts, packet.dts) for packet in stored if not packet.is_discard]
        if not packets:
            raise _without_pictures(path)
        rate = film_rate(stream.average_rate or stream.guessed_rate)
        timed = container.format.name not in IN_DECODING_ORDER
        times = _distinct([pts for pts, _ in packets]) if timed else None
        if times is None and container.format.name in EVEN_FORMATS:
            times, timed = _distinct([dts for _, dts in packets]) or _even(len(packets), rate, base), False
        if not times:
            raise image_error(path, "its frames have no times of their own; remux it (ffmpeg -i IN -c copy OUT.mkv)")
        shape = stream.sample_aspect_ratio or None
        return VideoFacts(
            width=context.width,
            height=context.height,
            time_base=base,
            rate=rate,
            times=times,
            colour_matrix=int(context.colorspace),
            timed=timed,
            pixel_shape=shape,
            trimmed=len(packets) < len(stored),
        )


def _without_pictures(path: Path) -> ImageError:
    return image_error(path, "holds no pictures. Expected a video")


def _refuse_cut_off(path: Path) -> None:
    """Before FFmpeg opens it, which says less of one without an end, and waits at a pipe until somebody writes."""
    try:
        with open_regular(path) as stream:
            reason = missing_part(stream, os.fstat(stream.fileno()).st_size)
    except OSError as error:
        raise _unreadable(path, error) from error
    if reason is not None:
        raise image_error(path, reason)


def _unreadable(path: Path, error: OSError) -> UserError:
    """What to raise for a failure of the system: a disk out of reach says nothing of the video."""
    reason = f"cannot be read: {error.strerror or error}"
    if says_nothing_of_the_file(error):
        return StorageError(f"{path}: {reason}. Check the disk")
    return image_error(path, f"{reason}. Expected a whole video")


def _distinct(times: Sequence[int | None]) -> tuple[int, ...] | None:
    """The times in order; None where one is missing or two are equal.

    Decoding times in order serve as well: pictures are shown in as many steps as they are decoded in.
    """
    known = sorted(time for time in times if time is not None)
    return tuple(known) if len(set(known)) == len(times) else None


def _even(count: int, rate: Fraction, base: Fraction) -> tuple[int, ...]:
    return tuple(round(number / rate / base) for number in range(count))


def read_frames(path: Path, facts: VideoFacts, skip: int = 0) -> Iterator[np.ndarray]:
    """The frames in order of time, uint8 (H, W, 3) RGB, without the first `skip`.

    Raises:
        ImageError: A frame is damaged, or is not as the index says.
        StorageError: The disk or the way to it fails.
    """
    with open_alone(path) as container:
        container.streams.video[0].thread_type = "AUTO"
        number = 0
        for number, frame in enumerate(_decoded(container, path, len(facts)), 1):
            what = f"frame {number} of {len(facts)}"
            if frame.is_corrupt or number > len(facts):
                raise image_error(path, f"{what} is damaged")
            if turned := not_as_stored(frame):
                raise image_error(path, f"{turned}; re-encode it as it is shown first")
            late = facts.timed and frame.pts != facts.times[number - 1]
            if late or (frame.width, frame.height) != (facts.width, facts.height):
                raise image_error(path, f"{what} is not of the time or size that the index says")
            if number > skip:
                yield frame.reformat(format="rgb24", interpolation=CONVERSION).to_ndarray()
        if number < len(facts):
            raise image_error(path, f"only {number} of its {len(facts)} frames can be decoded")


def _decoded(container: Any, path: Path, count: int) -> Iterator[Any]:
    """The pictures in order of time; ImageError says how far they go."""
    number, pictures = 0, container.decode(video=0)
    while True:
        try:
            picture = next(pictures, None)
        except load_av().error.InvalidDataError as error:
            reason = f"cannot be decoded after frame {number} of {count}: {error.strerror}"
            raise image_error(path, f"{reason}. Expected a whole video") from error
        if picture is None:
            return
        number += 1
        yield picture


def rooted(path: Path) -> str:
    """A file's name for FFmpeg, from the root on: what stands before a colon would be taken for a protocol."""
    return os.path.abspath(path)


@contextlib.contextmanager
def open_alone(path: Path) -> Iterator[Any]:
    """As `open_video`, of a video that is read alone: what the disk refuses is said of it."""
    try:
        with open_video(path) as container:
            yield container
    except OSError as error:
        raise _unreadable(path, error) from error


@contextlib.contextmanager
def open_video(path: Path, container_name: str | None = None) -> Iterator[Any]:
    """An open video with at least one picture stream; whatever FFmpeg throws becomes one line that names the file."""
    av = load_av()
    try:
        with av.open(rooted(path), format=container_name, options={"err_detect": "explode"}) as container:
            if not container.streams.video:
                raise _without_pictures(path)
            yield container
    except av.error.FFmpegError as error:
        if error.errno in (*DISK_FULL, *OUT_OF_REACH):  # perhaps of what is written meanwhile
            raise OSError(error.errno, error.strerror) from error
        raise image_error(path, f"{error.strerror or error}. Expected a whole video") from error
