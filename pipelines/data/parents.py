"""Processes of a pool that end with whoever started them, however that ends."""

import multiprocessing
import os
import threading


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
