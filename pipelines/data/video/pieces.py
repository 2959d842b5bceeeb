"""Videos in pieces: each written whole or not at all, so that a kill costs one, and joined with every time stamp kept.

By PyAV (the extra `video`). One written rule each:

    written as      H.264 by libx264, crf 16, preset medium; in .webm VP9, crf 20. 4:2:0, or 4:4:4 where a side is odd
    times           those of the source, to the tick of the container: also where the frame rate varies
    sound           carried along untouched; subtitles and data are left out
    colour          the matrix the source names (none: BT.601), 8 bits, limited range
    shape           of its pixels, as the source names it: an anamorphic film is shown as wide as before
"""

import contextlib
import heapq
import io
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.disk.files import part_of, settle, storage_errors
from pipelines.data.images import image_error
from pipelines.data.video.formats import CONTAINERS, CONVERSION, pixel_format
from pipelines.data.video.recorded import VideoFacts, open_alone, open_video, rooted
from pipelines.errors import UserError

# Without B-frames a packet's place is its time, so pieces can be joined; their number of threads is part of the result.
ENCODERS: dict[str, tuple[str, dict[str, str]]] = {
    "webm": ("libvpx-vp9", {"crf": "20", "b": "0", "cpu-used": "4", "row-mt": "1", "threads": "4"}),
}
# "force-cfr" writes the frame rate into the stream, not the tick; the times themselves stay as they are.
H264 = ("libx264", {"crf": "16", "preset": "medium", "bf": "0", "threads": "4", "x264-params": "force-cfr=1"})

PIECE = "nut"
"""Format of the pieces: the one container that keeps any time base exactly."""


def encoder_of(output: Path) -> tuple[str, dict[str, str]]:
    """FFmpeg's encoder for a file's suffix and its options; UserError for a suffix that we do not write."""
    container = CONTAINERS.get(output.suffix.lower())
    if container is None:
        raise UserError(f"{output}: videos are written as one of {', '.join(CONTAINERS)}")
    return ENCODERS.get(container, H264)


def write_piece(
    path: Path, output: Path, facts: VideoFacts, times: Iterable[int], frames: Iterable[np.ndarray]
) -> None:
    """Encode neighbouring frames as one piece of `output`, whole or not at all; `times` are theirs."""
    import av

    name, options = encoder_of(output)
    part = part_of(path)
    with _storing(path), contextlib.ExitStack() as undo:
        undo.callback(part.unlink, missing_ok=True)
        with av.open(rooted(part), "w", format=PIECE) as container:
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

    with open_alone(source) as container:
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
            open_video(source) as sound,
            av.open(rooted(pieces[0])) as first,
            av.open(rooted(part), "w", format=container_name) as container,
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
        with av.open(rooted(piece)) as container:
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
    with open_video(part, container_name) as container:
        stream = container.streams.video[0]
        times = sorted(packet.pts * stream.time_base for packet in container.demux(stream) if packet.size)
    expected = [time * facts.time_base for time in facts.times]
    wrong = [time for time, due in zip(times, expected, strict=False) if abs(time - due) > Fraction(1, 1000)]
    if len(times) != len(expected) or wrong:
        raise RuntimeError(f"wrote {len(times)} frames for {len(expected)}, {len(wrong)} at another time")


@contextlib.contextmanager
def _storing(path: Path) -> Iterator[None]:
    """Failures of the file system become StorageErrors; FFmpeg's are OSErrors too."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
