"""Pieces of videos: whole or not at all, joined with every time and the sound; what a kind of file cannot hold."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.video.pieces import encoder_of, join_pieces, refuse_sound, write_piece
from pipelines.data.video.recorded import read_facts, read_frames
from pipelines.errors import ImageError, UserError
from tests.pipelines.data.video.films import film, frames_of, named_rate, seconds, trimmed


@pytest.fixture
def source(tmp_path):
    return film(tmp_path / "in.mkv")


def test_encoders_by_the_container():
    assert encoder_of(Path("a.mp4"))[0] == "libx264" and encoder_of(Path("a.webm"))[0] == "libvpx-vp9"
    with pytest.raises(UserError, match=r"a\.avi: videos are written as one of \.mp4, \.m4v, \.mov, \.mkv, \.webm"):
        encoder_of(Path("a.avi"))


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("shape", [None, Fraction(4, 3)])
def test_pixels_that_are_not_square_stay_so(tmp_path, suffix, shape):
    source = film(tmp_path / f"in{suffix}", shape=shape)
    facts, joined = read_facts(source), tmp_path / f"out{suffix}"
    write_piece(tmp_path / "piece.nut", joined, facts, facts.times, read_frames(source, facts))
    join_pieces(source, [tmp_path / "piece.nut"], joined, facts)
    assert (facts.pixel_shape or 1) == (shape or 1) and read_facts(joined).pixel_shape == facts.pixel_shape


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
def test_what_a_film_was_trimmed_of_is_not_joined(tmp_path, suffix):
    path = trimmed(tmp_path / "in.mp4", film(tmp_path / "whole.mp4", sound="aac"), 4)
    facts, joined = read_facts(path), tmp_path / f"out{suffix}"
    write_piece(tmp_path / "piece.nut", joined, facts, facts.times, frames_of(path))
    join_pieces(path, [tmp_path / "piece.nut"], joined, facts)
    assert seconds(joined) == seconds(path) and not read_facts(joined).trimmed


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


@pytest.mark.parametrize(
    ("sound", "suffix"), [("aac", ".webm"), ("pcm_s16le", ".mp4"), ("libopus", ".mov")]
)  # the last two are refused when the file is begun or closed
def test_a_sound_that_a_kind_of_file_cannot_hold(tmp_path, sound, suffix):
    source = film(tmp_path / "in.mkv", sound=sound)
    with pytest.raises(ImageError, match=rf"in\.mkv: its sound \([a-z0-9_]+\) cannot be carried into a \{suffix} file"):
        refuse_sound(source, tmp_path / f"out{suffix}")
    refuse_sound(source, tmp_path / "out.mkv")
    assert os.listdir(tmp_path) == ["in.mkv"]
