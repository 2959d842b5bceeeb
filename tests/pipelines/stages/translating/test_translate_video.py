"""A video in, a video out: every frame, at its time, in its colours; whole or not at all, however often it is killed.

Small films are drawn for it, so that every kind of time, colour and damage can be had.
"""

import json
import os
from fractions import Fraction

import numpy as np
import pytest

from pipelines.data.video.formats import is_video
from pipelines.data.video.recorded import read_facts
from pipelines.errors import ImageError, UserError
from tests.pipelines.batch_inference.translating import (
    negative,
    run_video,
)
from tests.pipelines.data.video.films import FRAMES, av, film, frames_of, seconds


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_every_frame_comes_out_at_its_time(tmp_path, suffix):
    source = film(tmp_path / "in.mp4")
    summary = run_video(source, tmp_path / f"out.{suffix}", negative)
    assert summary.count_line == "10 frames in = 10 frames out (10 translated, 0 already there)"
    assert seconds(tmp_path / f"out.{suffix}") == pytest.approx(seconds(source), abs=1e-3)
    assert read_facts(tmp_path / f"out.{suffix}").rate == read_facts(source).rate == 25
    for before, after in zip(frames_of(source), frames_of(tmp_path / f"out.{suffix}"), strict=True):
        assert np.abs(255 - before.astype(int) - after).mean() < 5  # 4:2:0, and the encoder
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", f"out.{suffix}", f"out.{suffix}.json"]


def test_times_that_are_not_even_are_kept(tmp_path):
    times = [100, 612, 1124, 3000, 3001, 9000]
    source = film(tmp_path / "in.mp4", times)
    run_video(source, tmp_path / "out.mp4")
    assert seconds(tmp_path / "out.mp4") == pytest.approx(seconds(source), abs=1e-6)


@pytest.mark.parametrize("matrix", [None, 1, 5])
@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_colours_and_sizes_stay(tmp_path, matrix, size):
    source = film(tmp_path / "in.mkv", matrix=matrix, size=size)
    run_video(source, tmp_path / "out.mkv")
    before, after = np.array(frames_of(source)), np.array(frames_of(tmp_path / "out.mkv"))
    assert after.shape == (FRAMES, *size, 3)
    difference = after.astype(int) - before
    assert np.abs(difference).mean() < 2 and np.abs(difference.mean((0, 1, 2))).max() < 1
    assert read_facts(tmp_path / "out.mkv").colour_matrix == read_facts(source).colour_matrix


def test_full_range_is_understood(tmp_path):
    source = film(tmp_path / "in.mkv", codec="mjpeg", pixels="yuvj444p")
    run_video(source, tmp_path / "out.mkv")
    difference = np.array(frames_of(tmp_path / "out.mkv")).astype(int) - np.array(frames_of(source))
    assert np.abs(difference.mean((0, 1, 2))).max() < 1.5


def test_sound_is_carried_along(tmp_path):
    source = film(tmp_path / "in.mp4", sound="aac")
    run_video(source, tmp_path / "out.mp4")
    packets = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert packets[0] == packets[1] != []


def test_the_record_says_how_it_was_made(tmp_path):
    source = film(tmp_path / "in.mp4")
    run_video(source, tmp_path / "out.mp4", height=16)
    about = json.loads((tmp_path / "out.mp4.json").read_text())
    assert (about["encoder"], about["encoder_options"]["crf"], about["frames"]) == ("libx264", "16", 10)
    assert about["checkpoint_sha256"] == "c" * 64 and about["height"] == 16 and about["source"] == "in.mp4"


# --- times that the file leaves out -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "avi"), ("mpeg4", "avi"), ("libx264", "mpg")])
def test_pictures_that_are_not_in_the_order_of_their_packets(tmp_path, codec, suffix):
    frames = 12
    with av.open(str(tmp_path / f"in.{suffix}"), "w", format={"mpg": "mpeg"}.get(suffix)) as container:
        stream = container.add_stream(codec, rate=30, options={"bf": "2", "b": "4M"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 20 * number, np.uint8), format="rgb24")
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert run_video(tmp_path / f"in.{suffix}", tmp_path / "out.mp4").frames == frames
    steps = np.diff(seconds(tmp_path / "out.mp4"))
    assert steps == pytest.approx([1 / 30] * (frames - 1), abs=1e-3)
    shades = [frame.mean() for frame in frames_of(tmp_path / "out.mp4")]
    assert shades == pytest.approx([20 * number for number in range(frames)], abs=6)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "webm"])
def test_a_video_that_is_cut_off(tmp_path, suffix):
    whole = film(tmp_path / f"whole.{suffix}", codec="libvpx-vp9" if suffix == "webm" else "libx264").read_bytes()
    for share in (0.0, 0.2, 0.5, 0.6, 0.8, 0.95):
        (tmp_path / f"in.{suffix}").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError, match=rf"in\.{suffix}: .+") as caught:
            run_video(tmp_path / f"in.{suffix}", tmp_path / "out.mp4")
        assert "\n" not in str(caught.value) and not (tmp_path / "out.mp4").exists()


def test_a_damaged_frame_refuses_the_video(tmp_path):
    data = bytearray(film(tmp_path / "whole.mp4").read_bytes())
    start = data.index(b"mdat") + 1500
    data[start : start + 400] = bytes(400)
    (tmp_path / "in.mp4").write_bytes(data)
    with pytest.raises(ImageError, match=r"in\.mp4: "):
        run_video(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ImageError, match=r"text\.mp4: .*Expected a whole video"):
        run_video(tmp_path / "text.mp4", tmp_path / "out.mp4")
    with pytest.raises(ImageError, match=r"nowhere\.mp4: cannot be read: No such file"):
        run_video(tmp_path / "nowhere.mp4", tmp_path / "out.mp4")
    with pytest.raises(UserError, match=r"videos are written as one of \.mp4"):
        run_video(film(tmp_path / "in.mp4"), tmp_path / "out.avi")
    assert is_video(tmp_path / "A.MP4") and not is_video(tmp_path / "a.png")
