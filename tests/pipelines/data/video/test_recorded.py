"""Videos in pieces: facts of the index, frames in order, pieces joined with every time; what is refused, and how."""

import errno
import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.video import recorded
from pipelines.data.video.incoming import read_opened
from pipelines.data.video.recorded import (
    encoder_of,
    is_video,
    join_pieces,
    pixel_format,
    read_facts,
    read_frames,
    refuse_sound,
    write_piece,
)
from pipelines.errors import ImageError, StorageError, UserError
from tests.pipelines.data.video.films import (
    BASE,
    FRAMES,
    av,
    film,
    frames_of,
    named_rate,
    picture,
    seconds,
    shown_by,
    trimmed,
)


@pytest.fixture
def source(tmp_path):
    return film(tmp_path / "in.mkv")


def test_videos_are_known_by_their_suffix():
    assert is_video(Path("a.MP4")) and is_video(Path("b.avi")) and not is_video(Path("c.png"))


def test_encoders_by_the_container():
    assert encoder_of(Path("a.mp4"))[0] == "libx264" and encoder_of(Path("a.webm"))[0] == "libvpx-vp9"
    with pytest.raises(UserError, match=r"a\.avi: videos are written as one of \.mp4, \.m4v, \.mov, \.mkv, \.webm"):
        encoder_of(Path("a.avi"))


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


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("shape", [None, Fraction(4, 3)])
def test_pixels_that_are_not_square_stay_so(tmp_path, suffix, shape):
    source = film(tmp_path / f"in{suffix}", shape=shape)
    facts, joined = read_facts(source), tmp_path / f"out{suffix}"
    write_piece(tmp_path / "piece.nut", joined, facts, facts.times, read_frames(source, facts))
    join_pieces(source, [tmp_path / "piece.nut"], joined, facts)
    assert (facts.pixel_shape or 1) == (shape or 1) and read_facts(joined).pixel_shape == facts.pixel_shape


def test_odd_sides_keep_their_colours_at_full_size(source):
    facts = read_facts(source)
    assert pixel_format(facts.width, facts.height) == "yuv420p"
    assert pixel_format(47, facts.height) == pixel_format(facts.width, 31) == "yuv444p"


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_pieces_of_any_length_join_to_the_whole(tmp_path, source, cut):
    facts, frames, joined = read_facts(source), frames_of(source), tmp_path / "out.mp4"
    pieces = [tmp_path / "0.nut", tmp_path / "1.nut"]
    write_piece(pieces[0], joined, facts, facts.times[:cut], frames[:cut])
    write_piece(pieces[1], joined, facts, facts.times[cut:], frames[cut:])
    join_pieces(source, pieces, joined, facts)
    assert seconds(joined) == pytest.approx(seconds(source), abs=1e-3)
    for before, after in zip(frames, frames_of(joined), strict=True):
        assert np.abs(before.astype(int) - after).mean() < 5  # 4:2:0, and the encoder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.nut", "1.nut", "in.mkv", "out.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_what_a_film_was_trimmed_of_is_no_frame(tmp_path, suffix):
    path = trimmed(tmp_path / "in.mp4", film(tmp_path / "whole.mp4", sound="aac"), 4)
    facts, frames = read_facts(path), frames_of(path)
    assert facts.trimmed and seconds(path) == [number / 25 for number in range(FRAMES - 4)]
    assert all(np.abs(frame.astype(int) - picture(number)).mean() < 3 for number, frame in enumerate(frames, 4))
    joined = tmp_path / f"out{suffix}"
    write_piece(tmp_path / "piece.nut", joined, facts, facts.times, frames)
    join_pieces(path, [tmp_path / "piece.nut"], joined, facts)
    assert seconds(joined) == seconds(path) and not read_facts(joined).trimmed


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


@pytest.mark.parametrize("frames", [1, 2, 10])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_film_names_the_rate_of_its_source(tmp_path, suffix, frames):
    """Also one of a single frame, which tells no time between two, and WebM, whose pictures name none."""
    source = film(tmp_path / "in.mkv", [640 * number for number in range(frames)], rate=20)  # 640 / 12800 s apart
    facts, joined, piece = read_facts(source), tmp_path / f"out{suffix}", tmp_path / "0.nut"
    write_piece(piece, joined, facts, facts.times, frames_of(source))
    join_pieces(source, [piece], joined, facts)
    assert named_rate(joined) == read_facts(joined).rate == 20


def test_a_piece_that_is_missing_is_noticed(tmp_path, source):
    facts, frames, joined = read_facts(source), frames_of(source), tmp_path / "out.mp4"
    write_piece(tmp_path / "0.nut", joined, facts, facts.times[:4], frames[:4])
    with pytest.raises(RuntimeError, match="wrote 4 frames for 10, 0 at another time"):
        join_pieces(source, [tmp_path / "0.nut"], joined, facts)
    assert not joined.exists() and not list(tmp_path.glob(".*"))


def test_a_piece_is_written_whole_or_not_at_all(tmp_path, source):
    facts, frames = read_facts(source), frames_of(source)
    with pytest.raises(ValueError, match="zip"):
        write_piece(tmp_path / "0.nut", tmp_path / "out.mp4", facts, facts.times, frames[:4])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


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
    ("sound", "suffix"), [("aac", ".webm"), ("pcm_s16le", ".mp4"), ("libopus", ".mov")]
)  # the last two are refused when the file is begun or closed
def test_a_sound_that_a_kind_of_file_cannot_hold(tmp_path, sound, suffix):
    source = film(tmp_path / "in.mkv", sound=sound)
    with pytest.raises(ImageError, match=rf"in\.mkv: its sound \([a-z0-9_]+\) cannot be carried into a \{suffix} file"):
        refuse_sound(source, tmp_path / f"out{suffix}")
    refuse_sound(source, tmp_path / "out.mkv")
    assert os.listdir(tmp_path) == ["in.mkv"]


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


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'sim2real\[video\]'"):
        read_facts(tmp_path / "in.mp4")
