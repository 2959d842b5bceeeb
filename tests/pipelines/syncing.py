"""Tests do not wait for the disk: one training asks it forty times to have written all, and it answers in milliseconds.

It is for what outlasts the machine, which no test ends; a process that is killed leaves what it wrote to the system.
Where the disk fails, or a process ends, at the n-th time that it is asked is tried all the same: what asks is ours.
"""

import os


def ask_no_disk(descriptor: int) -> None:
    """In the place of `os.fsync`: what is no open file is refused as there."""
    os.fstat(descriptor)
