"""What can go wrong for a user, each kind with the exit code that scripts rely on.

The command line prints the message alone, on one line, without a traceback. So a message says what, where, what was
expected and what to do. Anything that is not a `UserError` is our bug and keeps its traceback (exit code 1).
"""

from pathlib import Path


class UserError(Exception):
    """Something a person can mend; the message tells how. Also: usage, settings and paths."""

    exit_code = 2


class BusyError(UserError):
    """Another process is at it; it can be asked for again later.

    Args:
        message: For whoever wants it now.
        place: The folder that the other process has; None where that is not said.
    """

    def __init__(self, message: str, place: Path | None = None) -> None:
        super().__init__(message)
        self.place = place


class SomeInputsFailedError(UserError):
    """The work was done for every input but the ones listed."""

    exit_code = 3


class NoInputsError(UserError):
    """There was nothing to work on."""

    exit_code = 4


class CheckpointError(UserError):
    """A checkpoint is damaged, foreign, or of another network."""

    exit_code = 5


class StorageError(UserError):
    """The disk is full, read-only or failing. What was finished stays."""

    exit_code = 6


class NumericalError(UserError):
    """A loss, or what a network computes, is no longer a number, or means nothing any more: training collapsed."""

    exit_code = 7


class Interrupted(UserError):
    """Stopped by a signal after a checkpoint was saved: the same command carries on."""

    exit_code = 75


class ImageError(UserError):
    """One image or label map cannot be used. Batch commands list it and go on; others stop."""

    exit_code = 3
