"""A process that decodes as `decoder_process` does, but for files whose names say what is to happen to it instead.

Of images "abort.png", say, and of label maps "label-abort.png".

The limits of time are of a second, so that what comes to no end is soon found out.
"""

import ctypes
import os
import signal
import time

from pipelines.data.decoding import decode, decoder_process

HOARD = []


def spin():
    while True:
        pass


def hang():
    if signal.alarm(1) > 1:  # what was left of its time
        time.sleep(1000)


def eat():
    while True:
        HOARD.append(bytearray(2**24))


def killed_once(path):
    """By someone else, at the first attempt only."""
    mark = path.with_suffix(".mark")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


ENDS = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "spin": spin,
    "hang": hang,
    "bomb": eat,
    "exit": lambda: os._exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
}


def misbehaving(read_here):
    """`decode.read_here`, but that names tell what is to happen."""

    def read(kind, path, before_decoding):
        name = path.stem.partition("label-")[2] if kind == "label map" else path.stem
        if name == "once":
            killed_once(path)
        return read_here(kind, path, (lambda header: ENDS[name]()) if name in ENDS else before_decoding)

    return read


if __name__ == "__main__":
    decode.read_here = misbehaving(decode.read_here)
    decoder_process.SECONDS = 1
    decoder_process.main()
