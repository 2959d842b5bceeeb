"""Processes that work for another one: they leave signals to it, and end with it, however that ends."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator

FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
"""Signals by which terminals and batch systems ask for an end; they send them to the whole group."""


@contextlib.contextmanager
def signals_held_back() -> Iterator[None]:
    """Hold signals back while processes are started within the block; they come at its end.

    A process begins with our handlers, and one of these would break it off, with a traceback or without. Held back for
    the process too, a signal waits until it leaves them to us.
    """
    former = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def leave_signals_to_the_parent() -> None:
    """From now on, hear no signal in this process, which was started within `signals_held_back`: its parent does, and
    ends it. One that died of a signal would take the parent down before it could save.
    """
    for number in FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THE_PARENT)


def end_with_the_parent() -> None:
    """From now on, end this process as soon as the one that started it has died; for the initializer of a pool.

    Left alone, a pool's processes wait for work at a pipe of which each of them holds an end: where a signal that no
    one can catch ended the parent, they would wait for ever, with all the memory that they have.
    """
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
