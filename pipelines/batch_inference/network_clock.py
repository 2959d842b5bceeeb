"""How much of the time the network is at work; what is missing to 1 it waits for files.

On a GPU the launch of a computation returns at once, so the device's own events are read, in the end and not in
between: to ask for one earlier would make it wait.
"""

import contextlib
import time
from collections.abc import Iterator
from typing import Any


class NetworkClock:
    """Adds up the spans of time in which the network works on `device`."""

    def __init__(self, device: str = "cpu") -> None:
        self._on_gpu = device.startswith("cuda")
        self._spans: list[tuple[Any, Any]] = []

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """The network works inside the block."""
        start = self._now()
        yield
        self._spans.append((start, self._now()))

    @property
    def share(self) -> float | None:
        """Time at work over all the time from the first start to the last end, 0 to 1; None before any work."""
        if not self._spans:
            return None
        whole = self._between(self._spans[0][0], self._spans[-1][1])
        return sum(self._between(start, end) for start, end in self._spans) / whole if whole > 0 else 1.0

    def _now(self) -> Any:
        if not self._on_gpu:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _between(self, start: Any, end: Any) -> float:
        if not self._on_gpu:
            return end - start
        end.synchronize()
        return start.elapsed_time(end)
