"""Streams of bytes by their names: standard ones, files, and what cannot be opened."""

import os
import sys

import pytest

from pipelines.data.video.raw import open_raw
from pipelines.errors import UserError


@pytest.mark.parametrize(
    ("mode", "stream", "message"),
    [
        ("rb", "__stdin__", "--input -: standard input is closed; give it something, or name a pipe or a file"),
        ("wb", "__stdout__", "--output -: standard output is closed; give it something, or name a pipe or a file"),
    ],
)
def test_a_standard_stream_that_is_closed(monkeypatch, mode, stream, message):
    monkeypatch.setattr(sys, stream, None)
    with pytest.raises(UserError, match=f"^{message}$"):
        open_raw("-", mode)


def test_a_standard_stream_stays_open_when_ours_is_closed(tmp_path, monkeypatch):
    with (tmp_path / "out").open("w") as standard:
        monkeypatch.setattr(sys, "__stdout__", standard)
        with open_raw("-", "wb") as stream:
            stream.write(b"picture")
        os.fstat(standard.fileno())
    assert (tmp_path / "out").read_bytes() == b"picture"


def test_what_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none cannot be read: No such file or directory\. Check the path"):
        open_raw(str(tmp_path / "none"), "rb")
    with pytest.raises(UserError, match=r"no/pipe cannot be written: No such file or directory\. Check the path"):
        open_raw(str(tmp_path / "no/pipe"), "wb")
