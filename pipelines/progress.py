"""Progress with rate and time left: a bar on a terminal, a plain line now and then where output goes to a file."""

import sys
import time
from typing import TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Count work done towards a total; use as a context manager.

    On a terminal this is tqdm's bar. Elsewhere (a log, CI) a line appears every ten seconds and at the end, so that a
    log stays readable. Nothing is drawn for work that ends within two seconds, nor where there is none. A total of None
    is not known: no time left is told. What was `done` before counts towards the total and not for the rate.
    """

    def __init__(
        self, what: str, total: int | None, unit: str = "it", done: int = 0, stream: TextIO | None = None
    ) -> None:
        self.unit = unit
        self.stream = stream if stream is not None else sys.stderr
        self._start_counting(what, total, done)

    def _start_counting(self, what: str, total: int | None, done: int) -> None:
        self.what, self.total, self.done = what, total, done
        self._first = done
        self._start = self._last_line = time.monotonic()
        self._note = ""
        self._bar = None
        if self.stream.isatty():
            self._bar = tqdm(
                total=total, initial=done, desc=what, unit=self.unit, file=self.stream, delay=2.0, leave=False
            )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_counting()

    def _end_counting(self) -> None:
        if self._bar is not None:
            self._bar.close()
        if self.total != 0 and time.monotonic() - self._start > 2.0:
            self._line()

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Count other work from now on, or the same once it is known how much there is and how much is done before."""
        self._end_counting()
        self._start_counting(what, total, done)

    def reach(self, done: int, note: str = "") -> None:
        """Say that `done` of the total are finished; `note` is shown beside the figures."""
        advance, self.done, self._note = done - self.done, done, note
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(advance)
        elif done != self.total and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._line()  # the last one is said at the end

    def say(self, line: str) -> None:
        """A line of its own, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(line, file=self.stream)
        else:
            print(line, file=self.stream, flush=True)

    def _line(self) -> None:
        self._last_line = time.monotonic()
        elapsed = max(self._last_line - self._start, 1e-9)
        rate = (self.done - self._first) / elapsed
        if self.total is None:
            count, ending = str(self.done), f"in {duration(elapsed)}"
        else:
            left = (self.total - self.done) / rate if rate > 0 else float("inf")
            count = f"{self.done}/{self.total}"
            ending = f"{duration(left)} left" if self.done < self.total else f"took {duration(elapsed)}"
        speed = f"{rate:.1f} {self.unit}/s" if rate >= 1 or rate == 0 else f"{1 / rate:.1f} s/{self.unit}"
        note = f", {self._note}" if self._note else ""
        print(f"{self.what}: {count}, {speed}, {ending}{note}", file=self.stream, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 05 s, 2 h 10 min."""
    if seconds == float("inf"):
        return "unknown time"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
