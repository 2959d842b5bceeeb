"""Kinds of videos: by their suffix, the layout of their colours, and the extra that reads them."""

import sys
from pathlib import Path

import pytest

from pipelines.data.video.formats import is_video, load_av, pixel_format
from pipelines.errors import UserError


def test_videos_are_known_by_their_suffix():
    assert is_video(Path("a.MP4")) and is_video(Path("b.avi")) and not is_video(Path("c.png"))


def test_odd_sides_keep_their_colours_at_full_size():
    assert pixel_format(48, 32) == "yuv420p"
    assert pixel_format(47, 32) == pixel_format(48, 31) == "yuv444p"


def test_without_pyav_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'sim2real\[video\]'"):
        load_av()
