"""Image files decoded in processes of their own: a decoder that crashes, spins or eats memory costs the file, not all.

A decoder is native code that is given other people's bytes, and no care in front of it makes that safe. So within
`supervised_decoding`, as in every command, this process only asks: one of a few others (`decoder_process.py`) decodes
within limits of memory and time, and where it dies another takes its place. They guard the run; they are no sandbox for
programs that a file might smuggle in.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.data.disk.files import OUT_OF_RESOURCES
from pipelines.errors import ImageError, StorageError, UserError

PROGRAM = "pipelines.data.decoding.decoder_process"
ATTEMPTS = 2
"""Who is killed from outside (by a system short of memory, say) is not the file's victim at once; twice, it is."""
LIMITS = {
    signal.SIGXCPU: "decoding it took far longer than its size has use for",
    signal.SIGALRM: "decoding it came to no end",
    signal.SIGKILL: f"what decodes it was killed {ATTEMPTS} times, most likely for want of memory",
}
"""Signals by which the system says that a limit was passed; by any other the decoder crashed."""


@dataclass(frozen=True)
class Stored:
    """An array as it comes from a decoder: its bytes, numpy's name of its type, and its shape."""

    data: bytearray
    dtype: str
    shape: tuple[int, ...]


class DecoderDiedError(Exception):
    """A decoder died of the file that it was given; the message says how."""


class Decoder:
    """One process that decodes. It is asked and answers by lines of JSON; pixels are in memory that both hold.

    Args:
        program: Name of its module.

    Raises:
        StorageError: Descriptors or memory ran out.
        UserError: It cannot be started for another reason.
    """

    def __init__(self, program: str) -> None:
        try:
            self._memory = _shared_memory()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", program, str(self._memory.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # the last words of native libraries are no line of ours
                pass_fds=(self._memory.fileno(),),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # a terminal's Ctrl-C is for us
            )
        except OSError as error:
            kind = StorageError if error.errno in OUT_OF_RESOURCES else UserError
            raise kind(
                f"no process to decode images can be started: {error.strerror or error}. Raise the limits (ulimit -n, "
                "-u), or use fewer --workers"
            ) from error
        if not self._line():
            raise UserError(
                f"a process to decode images ended at once (exit code {self._process.wait()}); "
                f"`{sys.executable} -m {program} 0` says why"
            )

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, kind: str, path: Path) -> dict[str, Any]:
        """What it answers, see `decoder_process`.

        Raises:
            DecoderDiedError: It did not live to answer.
        """
        folder = None if path.is_absolute() else os.getcwd()
        try:
            self._process.stdin.write(json.dumps({"kind": kind, "path": str(path), "folder": folder}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._line()
        except BrokenPipeError:
            line = b""
        if not line:
            raise DecoderDiedError(self._how_it_ended())
        return json.loads(line)

    def arrays(self, described: list[tuple[str, list[int], int] | None]) -> tuple[Stored | None, ...]:
        """The arrays of its last answer: type, shape and size in bytes of each, one after the other in memory."""
        self._memory.seek(0)
        return tuple(None if one is None else self._array(*one) for one in described)

    def _array(self, dtype: str, shape: list[int], size: int) -> Stored:
        data = bytearray(size)
        view, filled = memoryview(data), 0
        while filled < size:  # the system hands over 2 GiB at a time
            filled += self._memory.readinto(view[filled:])
        return Stored(data, dtype, tuple(shape))

    def _line(self) -> bytes:
        """The next whole line; empty where the process ended before its end."""
        line = self._process.stdout.readline()
        return line if line.endswith(b"\n") else b""

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        if code >= 0:
            return f"the decoder ended on it (exit code {code})"
        name = signal.Signals(-code)
        return f"{LIMITS.get(name, 'the decoder crashed on it')} ({name.name})"

    @property
    def was_killed(self) -> bool:
        """Whether someone else ended it; the system does when it is short of memory."""
        return self._process.poll() == -signal.SIGKILL

    def close(self) -> None:
        """End it; it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._memory):
            with contextlib.suppress(BrokenPipeError):  # what it was not told any more
                stream.close()


class Decoders:
    """As many decoders as are asked at the same time, by whatever threads; each is started when it is needed.

    Args:
        program: Name of the module that they run.
    """

    def __init__(self, program: str) -> None:
        self._program = program
        self.forget()

    def forget(self) -> None:
        """Start anew, without the decoders there are: those of another process, seen from a fork of it."""
        self._idle: list[Decoder] = []
        self._lock = threading.Lock()

    def read(self, kind: str, path: Path) -> tuple[Stored | None, ...]:
        """What `decode.read_here` makes of a file, in another process.

        Raises:
            ImageError, StorageError: As it says.
            DecoderDiedError: A decoder died of the file.
            StorageError, UserError: None can be started.
        """
        for attempt in range(1, ATTEMPTS + 1):
            decoder = self._take()
            try:
                answer = decoder.ask(kind, path)
                found = decoder.arrays(answer.get("arrays", []))
            except DecoderDiedError:
                killed = decoder.was_killed
                decoder.close()
                if not killed or attempt == ATTEMPTS:
                    raise
            except BaseException:  # such as Ctrl-C: what it says next would be taken for the next file's
                decoder.close()
                raise
            else:
                break
        with self._lock:
            self._idle.append(decoder)
        if "refused" in answer:
            raise ImageError(answer["refused"])
        if "exhausted" in answer:
            number, message = answer["exhausted"]
            raise StorageError(message) from OSError(number, os.strerror(number))
        return found

    def _take(self) -> Decoder:
        while True:
            with self._lock:
                decoder = self._idle.pop() if self._idle else None
            if decoder is None:
                return Decoder(self._program)
            if decoder.alive:
                return decoder
            decoder.close()

    def close(self) -> None:
        """End all."""
        while self._idle:
            self._idle.pop().close()


_current: list[Decoders] = []
"""The innermost last."""


def current_decoders() -> Decoders | None:
    """Those that this process has its image files decoded by; None: it decodes them itself."""
    return _current[-1] if _current else None


@contextlib.contextmanager
def supervised_decoding(decoders: Decoders | None = None) -> Iterator[None]:
    """Within the block, whoever reads an image or a label map in this process, or in a fork of it, has it decoded so.

    Args:
        decoders: None for the usual ones.
    """
    decoders = decoders or Decoders(PROGRAM)
    _current.append(decoders)
    try:
        yield
    finally:
        _current.remove(decoders)
        decoders.close()


def _forget_after_fork() -> None:
    for decoders in _current:
        decoders.forget()


os.register_at_fork(after_in_child=_forget_after_fork)


def _shared_memory() -> BinaryIO:
    """A file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("pixels"), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
