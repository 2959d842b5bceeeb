"""The most memory that a piece of work takes, beyond what was in use before it."""

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


class PeakMemory:
    """What `watched_memory` found."""

    mb: float | None = None
    """Megabytes, of the device's memory on a GPU; None while the work goes on, and where nothing can be measured."""


@contextlib.contextmanager
def watched_memory(device: torch.device) -> Iterator[PeakMemory]:
    """Watch the block: PyTorch's own count on a GPU, the process' resident memory on Linux."""
    peak = PeakMemory()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) / 1e6
        yield peak
        peak.mb = torch.cuda.max_memory_allocated(device) / 1e6 - before
        return
    measurable = device.type == "cpu" and _reset()
    before = _status("VmRSS") if measurable else 0.0
    yield peak
    if measurable:
        peak.mb = max(0.0, _status("VmHWM") - before)


def _reset() -> bool:
    """Give freed memory back, so that what is used again counts, and forget former peaks; False where impossible."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):  # another C library, such as musl
        ctypes.CDLL(None).malloc_trim(0)
    try:
        RESET.write_text("5")
    except OSError:  # not allowed in some containers
        return False
    return True


def _status(name: str) -> float:
    """An entry of the process' status, in megabytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6
