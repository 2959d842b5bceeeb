"""Frames as they come through a network: read, computed and written at the same time, with how long each one took.

Nothing is kept and nothing is carried on: what a camera has shown is gone. A lost frame costs itself and a line.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipelines.data.video.incoming import LiveFrame
from pipelines.data.video.outgoing import Sink
from pipelines.runtimes.overlap import overlapped

WhenBehind = Literal["queue", "drop"]
"""What becomes of frames that come faster than they are computed: all wait, and the source with them; or the newest
takes the place of the one that waits."""
PLACES: dict[WhenBehind, int] = {"queue": 4, "drop": 1}
"""Frames that wait at most."""
LATENCIES = 100_000
"""Of so many last frames; an hour at 30 a second."""
LINES = 20
"""About lost frames; further ones are only counted."""


@dataclass
class StreamCounts:
    """What has become of the frames so far, and in what time."""

    read: int = 0
    """Taken up, to be drawn or dropped."""
    written: int = 0
    lost: int = 0
    dropped: int = 0
    seconds: float = 0.0
    """From the first frame's arrival to the last one's end."""
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    """Seconds from a frame's arrival to the end of its writing."""

    @property
    def count_line(self) -> str:
        """Frames in, frames out."""
        return f"{self.read + self.lost} frames in, {self.written} out, {self.dropped} dropped, {self.lost} lost"

    @property
    def speed_line(self) -> str:
        """Frames a second and how late they were; percentiles are of the nearest rank."""
        rate = f"{self.written / self.seconds:.1f} frames/s" if self.seconds > 0 else "1 frame"
        late = ", ".join(f"p{share} {percentile(self.latencies, share) * 1000:.1f}" for share in (50, 90, 99))
        return f"{rate}; latency from read to written: {late} ms"


def percentile(values: Iterable[float], share: int) -> float:
    """The smallest value that `share` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * share // 100) - 1, 0)]


@dataclass(frozen=True)
class Watcher:
    """Who watches a stream; by default nobody.

    Attributes:
        say: Is told of what is lost, a line each.
        progress: Called after each frame.
        stop_requested: Asked all the time; once true no more is read, and what was read is finished.
    """

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[StreamCounts], None] = lambda counts: None
    stop_requested: Callable[[], bool] = lambda: False


class Stream:
    """A stream under way.

    Args:
        draw: Frame to picture, uint8 (H, W, 3) RGB to the same or to (H, W); in a thread of its own.
        sink: Gets the pictures.
        when_behind: What becomes of frames that come too fast.
        watcher: Who watches.
    """

    def __init__(
        self,
        draw: Callable[[np.ndarray], np.ndarray],
        sink: Sink,
        when_behind: WhenBehind = "queue",
        watcher: Watcher | None = None,
    ) -> None:
        self.counts = StreamCounts()
        self._draw, self._sink, self._when_behind = draw, sink, when_behind
        self._watcher = watcher or Watcher()

    def lost(self, reason: str) -> None:
        """Count a frame that could not be read, and say so."""
        self.counts.lost += 1
        if self.counts.lost <= LINES:
            last = "; further ones are only counted" if self.counts.lost == LINES else ""
            self._watcher.say(f"{reason}{last}")

    def run(self, frames: Iterable[LiveFrame]) -> None:
        """Put frames through until they end, a stop is requested, or nobody reads the pictures any more.

        Raises:
            ImageError: The source failed; what came before is written.
        """
        drop = self._when_behind == "drop"
        counts, watcher = self.counts, self._watcher
        begin: float | None = None
        with overlapped(frames, self._drawn, PLACES[self._when_behind], drop, watcher.stop_requested) as results:
            try:
                for frame, picture in results:
                    try:
                        self._sink.write(picture, frame.seconds, frame.rate)
                    except BrokenPipeError:
                        watcher.say("the output was closed")
                        return
                    now = time.monotonic()
                    begin = frame.arrived if begin is None else begin
                    counts.written += 1
                    counts.seconds = now - begin
                    counts.latencies.append(now - frame.arrived)
                    watcher.progress(counts)
            finally:
                counts.dropped = results.dropped
                counts.read += counts.dropped

    def _drawn(self, frame: LiveFrame) -> tuple[LiveFrame, np.ndarray]:
        self.counts.read += 1
        return frame, self._draw(frame.pixels)
