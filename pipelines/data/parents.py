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
    held: list[int] = []
    with contextlib.ExitStack() as afterwards:  # in the opposite order, all of it, also where a handler raises
        afterwards.callback(_raise_all, held)
        if threading.current_thread() is threading.main_thread():
            # A mask is one thread's. Where another thread lets a signal in, this one handles it all the same.
            for number in FOR_THE_PARENT:
                former = signal.signal(number, lambda number, _: held.append(number))
                afterwards.callback(signal.signal, number, signal.SIG_DFL if former is None else former)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_PARENT)
        afterwards.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
        yield


def _raise_all(numbers: list[int]) -> None:
    for number in numbers:
        signal.raise_signal(number)


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
