"""Processes that work for another one hear no signals, and are gone when it was killed."""

import multiprocessing
import os
import select
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from pipelines.data.parents import FOR_THE_PARENT, end_with_the_parent, leave_signals_to_the_parent, signals_held_back

PATIENCE_S = 60
"""By which a process that will never end is told from one that is slow to."""


def signalled():
    for number in FOR_THE_PARENT:
        os.kill(os.getpid(), number)
    leave_signals_to_the_parent()
    for number in FOR_THE_PARENT:
        os.kill(os.getpid(), number)


def test_a_process_hears_no_signal_from_its_first_moment_on(capfd):
    def break_off(number, frame):
        raise KeyboardInterrupt

    former = {number: signal.signal(number, break_off) for number in FOR_THE_PARENT}
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork"), signalled) as pool:
            with signals_held_back():
                found = pool.submit(signal.pthread_sigmask, signal.SIG_BLOCK, ())
            assert not found.result().intersection(FOR_THE_PARENT), "what it starts would be deaf to them"
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("others", [0, 1])
def test_signals_that_were_held_back_come_at_the_end(others):
    """Also where they come by another thread, such as OpenMP's and torch's, which holds none back."""
    heard, done = [], threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(others)]
    former = signal.signal(signal.SIGUSR1, handler := lambda number, frame: heard.append(number))
    for thread in threads:
        thread.start()
    try:
        with signals_held_back():
            os.kill(os.getpid(), signal.SIGUSR1)
            assert heard == []
        assert heard == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is handler and not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        done.set()
        signal.signal(signal.SIGUSR1, former)


def test_a_handler_that_raises_leaves_none_of_it_behind():
    def break_off(number, frame):
        raise KeyboardInterrupt

    former = {number: signal.signal(number, break_off) for number in FOR_THE_PARENT}
    try:
        with pytest.raises(KeyboardInterrupt), signals_held_back():
            os.kill(os.getpid(), signal.SIGTERM)
        assert {signal.getsignal(number) for number in FOR_THE_PARENT} == {break_off}
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def begun(barrier):
    end_with_the_parent()
    barrier.wait()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_processes_of_a_pool_end_with_a_parent_that_is_killed(workers):
    """Each holds an end of a pipe, at whose other end its death shows."""
    reading, writing = os.pipe()
    parent = os.fork()
    if parent == 0:
        context = multiprocessing.get_context("fork")
        barrier = context.Barrier(workers)
        pool = ProcessPoolExecutor(workers, context, begun, (barrier,))
        pool.submit(os.getpid).result()
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    try:
        assert os.waitpid(parent, 0)[1] == signal.SIGKILL
        ended, _, _ = select.select([reading], [], [], PATIENCE_S)
        assert ended and os.read(reading, 1) == b"", "one of them lives on"
    finally:
        os.close(reading)
