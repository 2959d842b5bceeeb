"""Videos, frame by frame: read strictly, written in pieces that survive a kill, joined with every time stamp kept.

PyAV (the extra `video`) brings FFmpeg along. One written rule each:

    written as      H.264 by libx264, crf 16, preset medium; in .webm VP9, crf 20. 4:2:0, or 4:4:4 where a side is odd
    times           those of the source, to the tick of the container: also where the frame rate varies
    sound           carried along untouched; subtitles and data are left out
    colour          the matrix the source names (none: BT.601), 8 bits, limited range
    shape           of its pixels, as the source names it: an anamorphic film is shown as wide as before
    no times        (AVI, and MPEG streams that leave them out) the order of the packets, or an even rate
    damage          a frame that cannot be decoded, or was cut off, refuses the video; so does a tag that turns it
"""

import contextlib
import errno
import heapq
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.decoding.headers import MAX_PIXELS
from pipelines.data.disk.files import (
    OUT_OF_REACH,
    open_regular,
    part_of,
    says_nothing_of_the_file,
    storage_errors,
    sync_folder,
)
from pipelines.data.images import image_error
from pipelines.data.video.container import missing_part
from pipelines.data.video.rates import film_rate
from pipelines.errors import ImageError, StorageError, UserError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix of the videos that we write -> FFmpeg's name of the format."""

VIDEO_SUFFIXES = (*CONTAINERS, ".avi", ".mpg", ".mpeg", ".ts")
"""Suffixes of the videos that we read."""

# Without B-frames a packet's place is its time, so pieces can be joined; their number of threads is part of the result.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1", "threads": "4"}),
}
# "force-cfr" writes the frame rate into the stream, not the tick; the times themselves stay as they are.
H264 = ("libx264", {"crf": "16", "preset": "medium", "bf": "0", "threads": "4", "x264-params": "force-cfr=1"})

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
CONVERSION = 0x4 | 0x2000 | 0x40000
"""FFmpeg's flags for YUV to RGB and back: bicubic, full chroma, exact rounding. By default a round trip through 4:2:0
darkens every pixel by a level (-1.0, -1.4, -1.1 in red, green, blue; so: 0.0)."""

PIECE = "nut"
"""Format of the pieces: the one container that keeps any time base exactly."""

EVEN_FORMATS = ("avi", "mpeg", "mpegvideo", "mpegts")
"""FFmpeg's names of the formats that mean an even rate where they give no times."""

IN_DECODING_ORDER = ("avi",)
"""FFmpeg's names of the formats that keep no times but the packets' order, from which FFmpeg makes up the pictures'."""


def is_video(path: Path) -> bool:
    """Whether a path's suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def encoder_of(output: Path) -> tuple[str, dict[str, str]]:
    """FFmpeg's encoder for a file's suffix and its options; UserError for a suffix that we do not write."""
    container = CONTAINERS.get(output.suffix.lower())
    if container is None:
        raise UserError(f"{output}: videos are written as one of {', '.join(CONTAINERS)}")
    return ENCODERS.get(container, H264)


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
    with _read(path) as container:
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
    with _read(path) as container:
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


def not_as_stored(frame: Any) -> str | None:
    """What players do to a decoded picture before they show it, in words; None where they show it as it is stored.

    A picture mirrored up and down passes: PyAV calls it turned by 0 degrees, and its matrix is only to be had by a ring
    of references that keeps every picture until the garbage collector comes by.
    """
    return f"is to be shown turned by {frame.rotation} degrees, or mirrored" if frame.rotation else None


def write_piece(
    path: Path, output: Path, facts: VideoFacts, times: Iterable[int], frames: Iterable[np.ndarray]
) -> None:
    """Encode neighbouring frames as one piece of `output`, whole or not at all; `times` are theirs."""
    import av

    name, options = encoder_of(output)
    part = part_of(path)
    with _storing(path), contextlib.ExitStack() as undo:
        undo.callback(part.unlink, missing_ok=True)
        with av.open(_named(part), "w", format=PIECE) as container:
            stream = container.add_stream(name, rate=facts.rate)
            stream.width, stream.height = facts.width, facts.height
            stream.pix_fmt = pixel_format(facts.width, facts.height)
            stream.time_base = stream.codec_context.time_base = facts.time_base
            stream.codec_context.colorspace = facts.colour_matrix
            if facts.pixel_shape is not None:
                stream.codec_context.sample_aspect_ratio = facts.pixel_shape
            stream.options = options
            for time, array in zip(times, frames, strict=True):
                picture = av.VideoFrame.from_ndarray(array, format="rgb24")
                picture = picture.reformat(
                    format=stream.pix_fmt, dst_colorspace=_matrix(facts), interpolation=CONVERSION
                )
                picture.pts, picture.time_base = time, facts.time_base
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        settle(part, path)


def refuse_sound(source: Path, output: Path) -> None:
    """ImageError where a file like `output` cannot hold the sound of `source`: known before a frame is computed."""
    import av

    with _read(source) as container:
        if not container.streams.audio:
            return
        sound = container.streams.audio[0]
        packet = next(container.demux(sound))
        try:
            with av.open(io.BytesIO(), "w", format=CONTAINERS[output.suffix.lower()]) as trial:
                copy = trial.add_stream_from_template(sound)
                if packet.size:
                    packet.stream = copy
                    trial.mux(packet)
        except (ValueError, OSError) as error:  # some kinds refuse it when they are closed
            reason = f"its sound ({sound.name}) cannot be carried into a {output.suffix} file; try .mkv"
            raise image_error(source, reason) from error


def join_pieces(source: Path, pieces: Sequence[Path], joined: Path, facts: VideoFacts) -> None:
    """One video of all pieces and the source's sound, checked for count and times before it gets its name.

    Args:
        source: Where the sound comes from.
        pieces: In order.
        joined: The file to write; its suffix says in which format.
        facts: Of the source.

    Raises:
        ImageError: The sound is damaged.
        StorageError: The disk refuses.
    """
    import av

    part = part_of(joined)
    container_name = CONTAINERS[joined.suffix.lower()]
    with _storing(joined), contextlib.ExitStack() as undo:
        undo.callback(part.unlink, missing_ok=True)
        with (
            _opened(source) as sound,
            av.open(_named(pieces[0])) as first,
            av.open(_named(part), "w", format=container_name) as container,
        ):
            video = container.add_stream_from_template(first.streams.video[0])
            video.time_base, video.codec_context.framerate = facts.time_base, facts.rate  # VP9 itself names no rate
            streams = [_timed(_packets_of(pieces, facts), video)]
            if sound.streams.audio:
                audio = container.add_stream_from_template(sound.streams.audio[0])
                packets = (packet for packet in sound.demux(sound.streams.audio[0]) if packet.dts is not None)
                streams.append(_timed((one for one in packets if one.dts >= 0 or not facts.trimmed), audio))
            for _, packet in heapq.merge(*streams, key=lambda timed: timed[0]):
                container.mux(packet)
        _check(part, facts, container_name)
        settle(part, joined)


def pixel_format(width: int, height: int) -> str:
    """4:2:0 halves both sides of the colour planes, so odd sides need 4:4:4."""
    return "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"


def _matrix(facts: VideoFacts) -> int:
    """FFmpeg's number of the matrix to encode with; 2 is "unspecified", which decoders take for BT.601 (5)."""
    return 5 if facts.colour_matrix == 2 else facts.colour_matrix


def _packets_of(pieces: Sequence[Path], facts: VideoFacts) -> Iterator[Any]:
    import av

    steps = [later - earlier for earlier, later in pairwise(facts.times)]
    lengths = [step * facts.time_base for step in steps]
    lengths.append(lengths[-1] if lengths else 1 / facts.rate)  # of the last frame no time tells the end
    left = iter(lengths)
    for piece in pieces:
        with av.open(_named(piece)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    packet.dts = packet.pts  # no B-frames; of the first few pictures FFmpeg cannot tell that yet
                    packet.duration = round(next(left) / packet.time_base)
                    yield packet


def _timed(packets: Iterable[Any], stream: Any) -> Iterator[tuple[Fraction, Any]]:
    for packet in packets:
        time = packet.dts * packet.time_base
        packet.stream = stream
        yield time, packet


def _check(part: Path, facts: VideoFacts, container_name: str) -> None:
    """Count in = count out, and every time where it was, to the millisecond that Matroska counts in."""
    with _opened(part, container_name) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.size)
    expected = [time * facts.time_base for time in facts.times]
    wrong = [time for time, due in zip(times, expected, strict=False) if abs(time - due) > Fraction(1, 1000)]
    if len(times) != len(expected) or wrong:
        raise RuntimeError(f"wrote {len(times)} frames for {len(expected)}, {len(wrong)} at another time")


def settle(part: Path, path: Path) -> None:
    """A file that a library has written gets its name, once it is on the disk."""
    with open(part, "rb") as stream:
        os.fsync(stream.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


def load_av() -> Any:
    """PyAV; UserError where the extra `video` is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV: pip install 'sim2real[video]'") from error
    return av


def _named(path: Path) -> str:
    """A file's name for FFmpeg, from the root on: what stands before a colon would be taken for a protocol."""
    return os.path.abspath(path)


@contextlib.contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Failures of the file system become StorageErrors; FFmpeg's are OSErrors too."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield


@contextlib.contextmanager
def _read(path: Path) -> Iterator[Any]:
    """As `_opened`, of a video that is read alone: what the disk refuses is said of it."""
    try:
        with _opened(path) as container:
            yield container
    except OSError as error:
        raise _unreadable(path, error) from error


@contextlib.contextmanager
def _opened(path: Path, container_name: str | None = None) -> Iterator[Any]:
    """An open video with at least one picture stream; whatever FFmpeg throws becomes one line that names the file."""
    av = load_av()
    try:
        with av.open(_named(path), format=container_name, options={"err_detect": "explode"}) as container:
            if not container.streams.video:
                raise _without_pictures(path)
            yield container
    except av.error.FFmpegError as error:
        if error.errno in (*DISK_FULL, *OUT_OF_REACH):  # perhaps of what is written meanwhile
            raise OSError(error.errno, error.strerror) from error
        raise image_error(path, f"{error.strerror or error}. Expected a whole video") from error
