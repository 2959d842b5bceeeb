"""How much of the time the network is at work; what is missing to 1 it waits for files.

On a GPU the launch of a computation returns at once, so the device's own events are read, and only once the device has
come by them: to ask for one earlier would make it wait, and to keep all would fill memory.
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from typing import Any


class NetworkClock:
    """Adds up the spans of time in which the network works on `device`."""

    def __init__(self, device: str = "cpu") -> None:
        self._on_gpu = device.startswith("cuda")
        self._first: Any = None
        self._last: Any = None
        self._at_work = 0.0
        self._open: deque[tuple[Any, Any]] = deque()
        """Spans that the device may still be in."""

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The network works inside the block."""
        start = self._now()
        yield
        self._first = start if self._first is None else self._first
        self._last = self._now()
        self._open.append((start, self._last))
        while self._open and self._is_over(self._open[0][1]):
            self._at_work += self._between(*self._open.popleft())

    @property
    def share(self) -> float | None:
        """Time at work over all the time from the first start to the last end, 0 to 1; None before any work."""
        if self._first is None:
            return None
        while self._open:
            self._at_work += self._between(*self._open.popleft())
        whole = self._between(self._first, self._last)
        return self._at_work / whole if whole > 0 else 1.0

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _is_over(self, end: Any) -> bool:
        return not self._on_gpu or end.query()

    def _between(self, start: Any, end: Any) -> float:
        if not self._on_gpu:
            return end - start
        end.synchronize()
        return start.elapsed_time(end)
