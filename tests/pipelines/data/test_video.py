"""What is read of a video: its times, and a word on what is none."""

from fractions import Fraction

import pytest

from pipelines.data import video
from pipelines.errors import UserError
from tests.pipelines.data.films import BASE


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([(None, 0), (None, 1), (None, 2)], (0, 1, 2)),  # an AVI: decoding times alone
        ([(5, 0), (None, 1), (7, 2)], (0, 1, 2)),
        ([(5, None), (None, None), (None, None)], (0, 512, 1024)),  # a program stream: an even rate, 12800 / 25 ticks
    ],
)
def test_times_follow_from_the_packets_or_the_rate(packets, expected):
    presented, decoded = zip(*packets, strict=True)
    times = video._distinct(presented) or video._distinct(decoded) or video._even(len(packets), Fraction(25), BASE)
    assert times == expected


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'sim2real\[video\]'"):
        video.read_facts(tmp_path / "in.mp4")
