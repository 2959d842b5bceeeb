"""Videos with an end: facts of the index, frames in order; what is refused, and how."""

import errno
import os
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipelines.data.video import recorded
from pipelines.data.video.incoming import read_opened
from pipelines.data.video.recorded import read_facts, read_frames
from pipelines.errors import ImageError, StorageError
from tests.pipelines.data.video.films import BASE, FRAMES, av, film, frames_of, picture, seconds, shown_by, trimmed


@pytest.fixture
def source(tmp_path):
    return film(tmp_path / "in.mkv")


def test_the_facts_of_an_index(tmp_path):
    facts = read_facts(film(tmp_path / "in.mp4", times=[0, 512, 2048], matrix=1))
    assert (facts.width, facts.height, len(facts)) == (48, 32, 3)
    assert [time * facts.time_base for time in facts.times] == [Fraction(ticks) * BASE for ticks in (0, 512, 2048)]
    assert facts.colour_matrix == 1 and facts.timed


def test_a_rate_that_no_film_has_is_the_usual_one(tmp_path):
    """As in the index of a single frame that lasts for a tick: 12800 a second."""
    assert read_facts(film(tmp_path / "in.mp4", times=[0], rate=12800)).rate == 25


def test_frames_come_in_order_and_may_be_skipped(source):
    frames = frames_of(source)
    assert len(frames) == FRAMES and frames[0].shape == (32, 48, 3) and frames[0].dtype == np.uint8
    assert all(np.abs(frame.astype(int) - picture(number)).mean() < 3 for number, frame in enumerate(frames))
    rest = list(read_frames(source, read_facts(source), skip=7))
    assert len(rest) == 3 and np.array_equal(rest[0], frames[7])


def test_an_avi_whose_packets_come_in_another_order(tmp_path):
    path = film(tmp_path / "in.avi", options={"x264-params": "bframes=3:b-adapt=0:scenecut=0"})
    assert seconds(path) == pytest.approx([number / 25 for number in range(FRAMES)])
    frames = frames_of(path)
    assert len(frames) == FRAMES
    assert all(np.abs(frame.astype(int) - picture(number)).mean() < 3 for number, frame in enumerate(frames))


def test_what_a_film_was_trimmed_of_is_no_frame(tmp_path):
    path = trimmed(tmp_path / "in.mp4", film(tmp_path / "whole.mp4", sound="aac"), 4)
    facts, frames = read_facts(path), frames_of(path)
    assert facts.trimmed and seconds(path) == [number / 25 for number in range(FRAMES - 4)]
    assert all(np.abs(frame.astype(int) - picture(number)).mean() < 3 for number, frame in enumerate(frames, 4))


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, 0, -1, 0, 0, 32, 0, 1), "by -90 degrees"),
        ((-1, 0, 0, 0, -1, 0, 48, 32, 1), "by -180 degrees"),
        ((-1, 0, 0, 0, 1, 0, 48, 0, 1), "or mirrored"),
    ],
    ids=["on its side", "upside down", "mirrored left and right"],
)
def test_a_film_that_players_turn_or_mirror_is_refused(tmp_path, matrix, turned):
    path = shown_by(tmp_path / "turned.mp4", film(tmp_path / "in.mp4"), matrix)
    with pytest.raises(ImageError, match=rf"turned\.mp4: is to be shown turned .*{turned}"):
        frames_of(path)
    with pytest.raises(ImageError, match=rf"turned\.mp4: is to be shown turned .*{turned}"):
        list(read_opened(str(path), lambda lost: None))


def test_a_film_that_is_shown_as_it_is_stored_is_read(tmp_path):
    path = shown_by(tmp_path / "upright.mp4", film(tmp_path / "in.mp4"), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert len(frames_of(path)) == FRAMES


def test_an_index_that_says_otherwise_is_refused(source):
    facts = read_facts(source)
    with pytest.raises(ImageError, match=r"in\.mkv: only 10 of its 11 frames can be decoded"):
        list(read_frames(source, replace(facts, times=(*facts.times, facts.times[-1] + 40))))
    with pytest.raises(ImageError, match="frame 3 of 10 is not of the time or size"):
        moved = (*facts.times[:2], facts.times[2] + 1, *facts.times[3:])
        list(read_frames(source, replace(facts, times=moved)))
    with pytest.raises(ImageError, match="frame 1 of 10 is not of the time or size"):
        list(read_frames(source, replace(facts, width=50)))


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_film_without_frames(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 48, 32
        container.start_encoding()
    with pytest.raises(ImageError, match=rf"{name}: holds no pictures\. Expected a video$"):
        read_facts(tmp_path / name)


def test_what_is_no_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, reason in (
        ("a.mp4", "Invalid data found when processing input"),
        ("pipe.mp4", "cannot be read: is a pipe, expected a file"),  # FFmpeg would wait for somebody to write
        ("none.mp4", "cannot be read: No such file or directory"),
    ):
        with pytest.raises(ImageError, match=rf"{name}: {reason}\. Expected a whole video$"):
            read_facts(tmp_path / name)


def test_a_film_without_an_end_is_cut_off(tmp_path, source):
    """Its index is behind the pictures, and FFmpeg alone would find no data."""
    whole = film(tmp_path / "in.mp4").read_bytes()
    (tmp_path / "in.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"in\.mp4: is cut off: it should have"):
        read_facts(tmp_path / "in.mp4")


@pytest.mark.parametrize("read", [read_facts, frames_of], ids=["index", "frames"])
def test_a_disk_out_of_reach_says_nothing_of_a_video(source, monkeypatch, read):
    facts = read_facts(source)
    monkeypatch.setattr("tests.pipelines.data.video.films.read_facts", lambda path: facts)

    def out_of_reach(*arguments, **options):
        raise av.error.FFmpegError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(av, "open", out_of_reach)
    with pytest.raises(StorageError, match=r"in\.mkv: cannot be read: Stale file handle\. Check the disk"):
        read(source)


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
    times = (
        recorded._distinct(presented) or recorded._distinct(decoded) or recorded._even(len(packets), Fraction(25), BASE)
    )
    assert times == expected
