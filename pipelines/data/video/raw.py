"""Streams of raw pictures: bytes without a header, from and to standard streams, pipes and files."""

import io
import sys
from typing import Literal

from pipelines.errors import UserError

Order = Literal["rgb24", "bgr24"]
STANDARD = "-"
"""Name of standard input and output."""


def open_raw(name: str, mode: Literal["rb", "wb"]) -> io.FileIO:
    """A stream by its name, unbuffered.

    Never Python's own object of a standard stream, which must not be at work when Python ends.

    Raises:
        UserError: The standard stream is closed, or the file cannot be opened.
    """
    if name == STANDARD:
        standard = sys.__stdin__ if mode == "rb" else sys.__stdout__
        if standard is None:  # as `<&-` and `>&-` leave it
            option, words = ("--input", "input") if mode == "rb" else ("--output", "output")
            raise UserError(f"{option} -: standard {words} is closed; give it something, or name a pipe or a file")
        return io.FileIO(standard.fileno(), mode, closefd=False)
    try:
        return io.FileIO(name, mode)
    except OSError as error:
        verb = "read" if mode == "rb" else "written"
        raise UserError(f"{name} cannot be {verb}: {error.strerror}. Check the path") from error
