"""Frames as they come: counted, late by how much, stopped and failing without a frame too many."""

import threading

import numpy as np
import pytest

from pipelines.batch_inference.stream import LINES, Stream, StreamCounts, Watcher, percentile
from pipelines.data.video.incoming import LiveFrame
from pipelines.errors import ImageError


class Kept:
    """A sink that keeps what it is given."""

    def __init__(self, closes_after=None):
        self.pictures, self.seconds, self.rates, self.closes_after = [], [], [], closes_after

    def write(self, picture, seconds, rate):
        if len(self.pictures) == self.closes_after:
            raise BrokenPipeError
        self.pictures.append(int(picture[0, 0, 0]))
        self.seconds.append(seconds)
        self.rates.append(rate)


def frames(count):
    for number in range(count):
        yield LiveFrame(np.full((2, 2, 3), number % 256, np.uint8), number / 10, rate=10)


def negative(frame):
    return 255 - frame


def test_frames_in_frames_out():
    seen, sink = [], Kept()
    stream = Stream(negative, sink, watcher=Watcher(progress=lambda counts: seen.append(counts.written)))
    stream.run(frames(7))
    assert sink.pictures == [255, 254, 253, 252, 251, 250, 249] and sink.seconds[-1] == 0.6
    assert set(sink.rates) == {10}
    assert stream.counts.count_line == "7 frames in, 7 out, 0 dropped, 0 lost"
    assert seen == [1, 2, 3, 4, 5, 6, 7] and len(stream.counts.latencies) == 7 and min(stream.counts.latencies) >= 0


def test_percentiles_are_of_the_nearest_rank():
    """Of 1 to 10: half do not exceed 5, nine tenths 9; 99 in 100 need all ten."""
    assert [percentile(range(10, 0, -1), share) for share in (50, 90, 99)] == [5, 9, 10]
    assert percentile([3.0], 50) == percentile([3.0], 99) == 3.0


def test_the_lines_for_people():
    counts = StreamCounts(read=11, written=9, lost=1, dropped=2, seconds=0.5)
    counts.latencies.extend([0.01, 0.02, 0.04])
    assert counts.count_line == "12 frames in, 9 out, 2 dropped, 1 lost"
    # 9 frames in half a second; ranks 2, 3 and 3 of three
    assert counts.speed_line == "18.0 frames/s; latency from read to written: p50 20.0, p90 40.0, p99 40.0 ms"


def test_an_output_that_is_closed_ends_it_quietly():
    said, sink = [], Kept(closes_after=2)
    stream = Stream(negative, sink, watcher=Watcher(say=said.append))
    stream.run(frames(1000))
    assert sink.pictures == [255, 254] and stream.counts.written == 2 and said == ["the output was closed"]
    assert stream.counts.read < 1000


def test_a_stop_finishes_what_was_read_and_reads_no_more():
    sink = Kept()
    watcher = Watcher(stop_requested=lambda: len(sink.pictures) >= 3)
    stream = Stream(negative, sink, watcher=watcher)
    stream.run(frames(1000))
    assert 3 <= len(sink.pictures) == stream.counts.written == stream.counts.read < 30


def test_a_stop_leaves_the_counts_of_dropped_frames_whole():
    sink = Kept()
    stream = Stream(negative, sink, "drop", Watcher(stop_requested=lambda: len(sink.pictures) >= 3))
    stream.run(frames(10**9))
    counts = stream.counts
    assert counts.read == counts.written + counts.dropped and len(sink.pictures) == counts.written >= 3


def test_a_source_that_fails_leaves_what_came_before():
    def unplugged():
        yield from frames(3)
        raise ImageError("camera: unplugged")

    sink = Kept()
    stream = Stream(negative, sink)
    with pytest.raises(ImageError, match="camera: unplugged"):
        stream.run(unplugged())
    assert sink.pictures == [255, 254, 253] and stream.counts.written == 3


def test_lost_frames_are_told_one_by_one_and_then_counted():
    said = []
    stream = Stream(negative, Kept(), watcher=Watcher(say=said.append))
    for number in range(LINES + 5):
        stream.lost(f"frame {number} is damaged")
    assert stream.counts.lost == LINES + 5 and len(said) == LINES and said[0] == "frame 0 is damaged"
    assert said[-1] == f"frame {LINES - 1} is damaged; further ones are only counted"


def test_frames_that_come_too_fast_are_dropped_where_that_is_the_rule():
    """The network waits until the source has given all: one frame is in work, the newest waits, the rest is lost."""
    begun, given = threading.Event(), threading.Event()

    def source():
        waiting = frames(6)
        yield next(waiting)
        begun.wait()
        yield from waiting
        given.set()

    def draw(frame):
        begun.set()
        given.wait()
        return frame

    sink = Kept()
    stream = Stream(draw, sink, "drop")
    stream.run(source())
    assert sink.pictures == [0, 5] and stream.counts.count_line == "6 frames in, 2 out, 4 dropped, 0 lost"
