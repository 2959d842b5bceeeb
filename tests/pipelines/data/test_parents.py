"""Processes of a pool are gone when whoever started them was killed."""

import multiprocessing
import os
import select
import signal
from concurrent.futures import ProcessPoolExecutor

import pytest

from pipelines.data.parents import end_with_the_parent

PATIENCE_S = 60
"""By which a process that will never end is told from one that is slow to."""


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
