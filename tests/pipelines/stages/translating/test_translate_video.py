"""A video in, a video out: every frame, at its time, in its colours; whole or not at all, however often it is killed.

Small films are drawn for it, so that every kind of time, colour and damage can be had.
"""

import json
import os
import signal
from fractions import Fraction

import cv2
import numpy as np
import pytest

from pipelines.batch_inference import video as making
from pipelines.batch_inference.preview import describe_video
from pipelines.data import video
from pipelines.data.video import is_video, read_facts, read_frames
from pipelines.errors import ImageError, Interrupted, UserError
from pipelines.stages.translating.translate_video import translate_video
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    Counting,
    in_a_process,
    killing,
    negative,
    network_and_control,
    tree,
)

av = pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")

BASE = Fraction(1, 12800)
FRAMES = 10


def picture(number, height=32, width=48):
    noise = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 6)
    return np.clip((image.astype(int) - 128) * 3 + 128 + number, 0, 255).astype(np.uint8)


def film(path, times=None, size=(32, 48), matrix=None, sound=False, codec="libx264", pixels="yuv444p"):
    """Write a small video; its frames' times are in units of BASE."""
    times = times or [512 * number for number in range(FRAMES)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = BASE
        if matrix is not None:
            stream.codec_context.colorspace = matrix
        stream.options = {"crf": "4"}
        tone = container.add_stream("aac", rate=8000) if sound else None
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number, *size), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=matrix or 5)
            frame.pts, frame.time_base = time, BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 8000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode(None))
    return path


def seconds(path):
    facts = read_facts(path)
    return [float(time * facts.time_base) for time in facts.times]


def frames_of(path):
    return list(read_frames(path, read_facts(path)))


def unchanged(image):
    return image


def run(source, output, translate=unchanged, **options):
    network, control = network_and_control(translate, **options)
    return translate_video(source, output, network, IDENTITY, control)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "webm"])
def test_every_frame_comes_out_at_its_time(tmp_path, suffix):
    source = film(tmp_path / "in.mp4")
    summary = run(source, tmp_path / f"out.{suffix}", negative)
    assert summary.count_line == "10 frames in = 10 frames out (10 translated, 0 already there)"
    assert seconds(tmp_path / f"out.{suffix}") == pytest.approx(seconds(source), abs=1e-3)
    assert read_facts(tmp_path / f"out.{suffix}").rate == read_facts(source).rate == 25
    for before, after in zip(frames_of(source), frames_of(tmp_path / f"out.{suffix}"), strict=True):
        assert np.abs(255 - before.astype(int) - after).mean() < 5  # 4:2:0, and the encoder
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", f"out.{suffix}", f"out.{suffix}.json"]


def test_times_that_are_not_even_are_kept(tmp_path):
    times = [100, 612, 1124, 3000, 3001, 9000]
    source = film(tmp_path / "in.mp4", times)
    run(source, tmp_path / "out.mp4")
    assert seconds(tmp_path / "out.mp4") == pytest.approx(seconds(source), abs=1e-6)


@pytest.mark.parametrize("matrix", [None, 1, 5])
@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_colours_and_sizes_stay(tmp_path, matrix, size):
    source = film(tmp_path / "in.mkv", matrix=matrix, size=size)
    run(source, tmp_path / "out.mkv")
    before, after = np.array(frames_of(source)), np.array(frames_of(tmp_path / "out.mkv"))
    assert after.shape == (FRAMES, *size, 3)
    difference = after.astype(int) - before
    assert np.abs(difference).mean() < 2 and np.abs(difference.mean((0, 1, 2))).max() < 1
    assert read_facts(tmp_path / "out.mkv").colour_matrix == read_facts(source).colour_matrix


def test_full_range_is_understood(tmp_path):
    source = film(tmp_path / "in.mkv", codec="mjpeg", pixels="yuvj444p")
    run(source, tmp_path / "out.mkv")
    difference = np.array(frames_of(tmp_path / "out.mkv")).astype(int) - np.array(frames_of(source))
    assert np.abs(difference.mean((0, 1, 2))).max() < 1.5


def test_sound_is_carried_along(tmp_path):
    source = film(tmp_path / "in.mp4", sound=True)
    run(source, tmp_path / "out.mp4")
    packets = []
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            packets.append([bytes(packet) for packet in container.demux(audio=0) if packet.size])
    assert packets[0] == packets[1] != []


def test_the_record_says_how_it_was_made(tmp_path):
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4", height=16)
    about = json.loads((tmp_path / "out.mp4.json").read_text())
    assert (about["encoder"], about["encoder_options"]["crf"], about["frames"]) == ("libx264", "16", 10)
    assert about["checkpoint_sha256"] == "c" * 64 and about["height"] == 16 and about["source"] == "in.mp4"


def test_a_finished_video_is_left_alone_and_another_is_not_overwritten(tmp_path):
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4")
    before, translate = tree(tmp_path), Counting()
    assert run(source, tmp_path / "out.mp4", translate).resumed == 10 and translate.calls == 0
    assert tree(tmp_path) == before
    with pytest.raises(UserError, match="is not what this command would make"):
        run(source, tmp_path / "out.mp4", height=16)
    run(source, tmp_path / "out.mp4", height=16, restart=True)
    assert (tmp_path / "out.replaced-1.mp4").read_bytes() == before["out.mp4"]
    with pytest.raises(UserError, match="is the input"):
        run(source, source)


# --- killed, and run again --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_killed_around_every_call_to_the_file_system(tmp_path, monkeypatch, call):
    monkeypatch.setattr(making, "PIECE_FRAMES", 3)
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "undisturbed.mp4", negative)
    at, status, resumed = 0, signal.SIGKILL, set()
    while status == signal.SIGKILL:
        at += 1
        output = tmp_path / "out" / "undisturbed.mp4"

        def until_killed():
            setattr(os, call, killing(getattr(os, call), at))  # noqa: B023
            run(source, output, negative)  # noqa: B023

        status = in_a_process(until_killed)
        translate = Counting()
        summary = run(source, output, translate)
        resumed.add(summary.resumed)
        assert translate.calls == 10 - summary.resumed
        names = ("undisturbed.mp4", "undisturbed.mp4.json")
        assert tree(tmp_path / "out") == {name: (tmp_path / name).read_bytes() for name in names}
        for name in names:
            (tmp_path / "out" / name).unlink()
    assert status == 0 and {0, 3, 6, 9, 10} <= resumed


def test_asked_to_stop_it_keeps_whole_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "PIECE_FRAMES", 4)
    source, seen = film(tmp_path / "in.mp4"), []
    with pytest.raises(Interrupted, match="stopped at 4 of 10 frames; the same command carries on"):
        run(
            source,
            tmp_path / "out.mp4",
            progress=lambda done, total: seen.append(done),
            stop_requested=lambda: 6 in seen,
        )
    assert not (tmp_path / "out.mp4").exists()
    assert run(source, tmp_path / "out.mp4").resumed == 4


def test_two_processes_on_one_video_are_refused(tmp_path):
    source = film(tmp_path / "in.mp4")

    def meanwhile(image):
        with pytest.raises(UserError, match="another process is making it"):
            run(source, tmp_path / "out.mp4")
        return image

    assert run(source, tmp_path / "out.mp4", meanwhile).frames == 10


@pytest.mark.parametrize("frames", [1, 6, 7, 8, 107])
def test_whatever_number_of_frames_the_last_piece_has(tmp_path, frames):
    times = [900 * number + number % 3 for number in range(frames)]
    source = film(tmp_path / "in.mp4", times)
    for suffix in ("mp4", "webm"):
        assert run(source, tmp_path / f"out.{suffix}").frames == frames
        assert seconds(tmp_path / f"out.{suffix}") == pytest.approx(seconds(source), abs=1e-3)


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
    assert run(tmp_path / f"in.{suffix}", tmp_path / "out.mp4").frames == frames
    steps = np.diff(seconds(tmp_path / "out.mp4"))
    assert steps == pytest.approx([1 / 30] * (frames - 1), abs=1e-3)
    shades = [frame.mean() for frame in frames_of(tmp_path / "out.mp4")]
    assert shades == pytest.approx([20 * number for number in range(frames)], abs=6)


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


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "webm"])
def test_a_video_that_is_cut_off(tmp_path, suffix):
    whole = film(tmp_path / f"whole.{suffix}", codec="libvpx-vp9" if suffix == "webm" else "libx264").read_bytes()
    for share in (0.0, 0.2, 0.5, 0.6, 0.8, 0.95):
        (tmp_path / f"in.{suffix}").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ImageError, match=rf"in\.{suffix}: .+") as caught:
            run(tmp_path / f"in.{suffix}", tmp_path / "out.mp4")
        assert "\n" not in str(caught.value) and not (tmp_path / "out.mp4").exists()


def test_a_damaged_frame_refuses_the_video(tmp_path):
    data = bytearray(film(tmp_path / "whole.mp4").read_bytes())
    start = data.index(b"mdat") + 1500
    data[start : start + 400] = bytes(400)
    (tmp_path / "in.mp4").write_bytes(data)
    with pytest.raises(ImageError, match=r"in\.mp4: "):
        run(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_what_is_no_video(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ImageError, match=r"text\.mp4: .*Expected a whole video"):
        run(tmp_path / "text.mp4", tmp_path / "out.mp4")
    with pytest.raises(ImageError, match=r"nowhere\.mp4: No such file"):
        run(tmp_path / "nowhere.mp4", tmp_path / "out.mp4")
    with pytest.raises(UserError, match=r"videos are written as one of \.mp4"):
        run(film(tmp_path / "in.mp4"), tmp_path / "out.avi")
    assert is_video(tmp_path / "A.MP4") and not is_video(tmp_path / "a.png")


def test_without_pyav_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'sim2real\[video\]'"):
        video.read_facts(tmp_path / "in.mp4")


def test_a_dry_run_says_what_the_video_is(tmp_path):
    lines = describe_video(film(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert lines[0] == "10 frames of 48x32 at 25.000 per second" and "libx264 (crf 16" in lines[1]
    assert os.listdir(tmp_path) == ["in.mp4"]
