"""The process that decodes image files for another one, file by file, within limits of memory and time.

Started by `decoders.py`, and expendable: what a file does to it ends it, and nothing else. The limits follow from the
size that the file's header declares, so that a small file cannot ask for much.

    python -m pipelines.data.decoding.decoder_process DESCRIPTOR

Reads {"kind", "path", "folder"} a line, of `decode.KINDS`, from stdin; answers with {"arrays": [[type, shape, bytes] or
null, ...]}, their values being at the beginning of the memory behind the descriptor; with {"refused": why}; or with
{"exhausted": [errno, what]} where the system, not the file, is to blame.
"""

import json
import math
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ImageError, StorageError

if TYPE_CHECKING:
    import numpy as np

SPARE_BYTES = 256 * 2**20
"""What any file may take beside its own bytes and pixels."""
BYTES_PER_PIXEL = 64
"""Decoding takes at most 40: four channels of 16 bits, twice, then of 32, while they are brought to 8."""
SECONDS = 5
"""Of computing; a frame of 2 megapixels takes a fiftieth of one."""
PIXELS_PER_SECOND = 10_000_000
PATIENCE_S = 120
"""By the clock: a disk may be slow, and others may have the processor."""
KEPT_BYTES = 64 * 2**20
"""Shared memory that is kept for the next file; to get it anew takes longer than to fill it."""
STATM = Path("/proc/self/statm")
"""Memory in use, where the system tells; where it does not, time alone is limited."""


def main() -> None:
    """Answer until there is nobody left to ask."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)  # before the imports: whoever asks is signalled, too, and ends this
    from pipelines.data.decoding.decode import MAX_BYTES, read_here

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library that prints is no answer
    memory = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    lift(resource.RLIMIT_FSIZE)  # of files on disks; this one is none
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        if request["folder"] is not None:
            os.chdir(request["folder"])
        signal.alarm(PATIENCE_S)
        limit(MAX_BYTES)
        try:
            arrays = read_here(
                request["kind"],
                Path(request["path"]),
                lambda header: limit(header.width * header.height * BYTES_PER_PIXEL, header.width * header.height),
            )
            answer: dict[str, Any] = {"arrays": hand_over(arrays, memory)}
        except OSError as error:  # not of reading, which has errors of its own: limits on files hold for memory, too
            what = f"{request['path']}: its pixels cannot be handed over: {error.strerror}. Raise the limit (ulimit -f)"
            answer = {"exhausted": [error.errno, what]}
        except ImageError as error:
            answer = {"refused": str(error)}
        except StorageError as error:
            answer = {"exhausted": [getattr(error.__cause__, "errno", 0), str(error)]}
        signal.alarm(0)
        print(json.dumps(answer), file=answers, flush=True)


def limit(more_bytes: int, pixels: int = 0) -> None:
    """From now on, allow so much memory on top of what is in use, and the time that so many pixels may take."""
    if STATM.exists():
        used = int(STATM.read_text().split()[5]) * resource.getpagesize()  # what counts against RLIMIT_DATA
        allow(resource.RLIMIT_DATA, used + more_bytes + SPARE_BYTES)
    computed = math.ceil(sum(os.times()[:2]))
    allow(resource.RLIMIT_CPU, computed + SECONDS + pixels // PIXELS_PER_SECOND)


def allow(kind: int, most: int) -> None:
    """Set a limit, as far as that which the process was started with allows."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def lift(kind: int) -> None:
    """Set a limit to what the process was started with at most."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (hard, hard))


def hand_over(arrays: "Sequence[np.ndarray | None]", memory: int) -> list[list[Any] | None]:
    """Write arrays to the shared memory, one after the other; return type, shape and size in bytes of each."""
    described: list[list[Any] | None] = []
    if os.fstat(memory).st_size > KEPT_BYTES:
        os.ftruncate(memory, 0)
    place = 0
    for array in arrays:
        if array is None:
            described.append(None)
            continue
        view = memoryview(array).cast("B")
        described.append([array.dtype.name, list(array.shape), view.nbytes])
        while len(view):  # the system takes 2 GiB at a time
            written = os.pwrite(memory, view, place)
            view, place = view[written:], place + written
    return described


if __name__ == "__main__":
    main()
