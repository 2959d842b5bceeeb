"""Frames from pipes and films as they come: every byte and time, and one frame for damage."""

import os
import socket
import sys
import threading
import time

import numpy as np
import pytest

from pipelines.data.video import incoming
from pipelines.data.video.incoming import read_opened, read_raw
from pipelines.errors import ImageError, UserError
from tests.pipelines.data.video.films import FRAMES, SIZE, av, damaged, film, frames_of, picture, raw, seconds


def refuse(reason):
    raise AssertionError(reason)


@pytest.mark.parametrize("order", ["rgb24", "bgr24"])
def test_raw_frames_and_their_times(tmp_path, order):
    (tmp_path / "in").write_bytes(raw(3, order))
    frames = list(read_raw(str(tmp_path / "in"), SIZE, refuse, order, rate=10))
    assert [(frame.seconds, frame.rate) for frame in frames] == [(0, 10), (0.1, 10), (0.2, 10)]
    assert all(np.array_equal(frame.pixels, picture(number)) for number, frame in enumerate(frames))


def test_a_pipe_that_gives_less_than_was_asked_for(tmp_path):
    """A frame arrives in pieces of any size, as from a network; the last one is cut off, and told so."""
    os.mkfifo(tmp_path / "pipe")

    def give():
        with open(tmp_path / "pipe", "wb", buffering=0) as pipe:
            data = raw(3)[:-5]
            for begin in range(0, len(data), 1001):
                pipe.write(data[begin : begin + 1001])

    giver, lost = threading.Thread(target=give), []
    giver.start()
    frames = list(read_raw(str(tmp_path / "pipe"), SIZE, lost.append))
    giver.join()
    assert len(frames) == 2 and np.array_equal(frames[1].pixels, picture(1))
    assert lost == ["frame 3 is cut off: 4603 of its 4608 bytes came"]  # 48 * 32 * 3 = 4608


def test_a_pipe_that_does_not_wait_is_waited_for(monkeypatch):
    """Whoever shares standard input, a shell's other program for one, may have set it so; it is no end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    monkeypatch.setattr(sys, "__stdin__", os.fdopen(reading))

    def give():
        time.sleep(0.2)  # nothing is there when the first frame is asked for
        os.write(writing, raw(2))
        os.close(writing)

    giver = threading.Thread(target=give)
    giver.start()
    frames = list(read_raw("-", SIZE, refuse))
    giver.join()
    assert len(frames) == 2 and np.array_equal(frames[1].pixels, picture(1))


def test_where_not_even_the_first_frame_is_whole_the_size_may_be_wrong(tmp_path):
    (tmp_path / "in").write_bytes(bytes(4607))
    lost = []
    assert not list(read_raw(str(tmp_path / "in"), SIZE, lost.append))
    assert lost == ["frame 1 is cut off: 4607 of its 4608 bytes came; --size may be wrong"]


def test_a_size_that_cannot_be_read():
    with pytest.raises(UserError, match="--size 100000 100000 is no size that we read"):
        next(read_raw("-", (100_000, 100_000), refuse))


def test_a_connection_that_is_reset_is_named_after_its_frames(monkeypatch):
    """As FFmpeg's sources are; a plain OSError would be laid to the output, whose film would not be made."""
    ours, theirs = socket.socketpair()
    theirs.sendall(raw(1))
    monkeypatch.setattr(sys, "__stdin__", ours.makefile())
    frames = read_raw("-", SIZE, refuse)
    assert np.array_equal(next(frames).pixels, picture(0))
    ours.send(b"?")  # unread when they close, which resets
    theirs.close()
    with pytest.raises(ImageError, match=r"^-: the stream ended: Connection reset by peer$"):
        next(frames)


def test_a_video_is_not_read_as_raw_frames(tmp_path):
    """Its bytes would be frames of noise, without a word. A pipe may be called anything."""
    with pytest.raises(UserError, match=r"a\.avi is a video, which brings its size along; leave out --size"):
        next(read_raw(str(tmp_path / "a.avi"), SIZE, refuse))
    os.mkfifo(tmp_path / "a.mp4")
    giver = threading.Thread(target=lambda: (tmp_path / "a.mp4").write_bytes(raw(1)))
    giver.start()
    assert len(list(read_raw(str(tmp_path / "a.mp4"), SIZE, refuse))) == 1
    giver.join()


def test_a_film_as_it_comes_is_the_film(tmp_path):
    times = [512 * number for number in (0, 1, 2, 5, 6)]  # in units of 1/12800 s: 0.04 s each
    path = film(tmp_path / "a.mkv", times=times, rate=50)
    frames = list(read_opened(str(path), refuse))
    assert {frame.rate for frame in frames} == {50}
    assert [round(frame.seconds, 3) for frame in frames] == [0, 0.04, 0.08, 0.2, 0.24]
    assert all(np.array_equal(frame.pixels, one) for frame, one in zip(frames, frames_of(path), strict=True))


def test_the_times_of_an_avi_rise_though_its_packets_come_in_another_order(tmp_path):
    """An AVI keeps no times, and FFmpeg counts its packets: a B-frame comes after those that it is shown before."""
    path = film(tmp_path / "a.avi", options={"x264-params": "bframes=3:b-adapt=0:scenecut=0"})
    found = [frame.seconds for frame in read_opened(str(path), refuse)]
    assert found == pytest.approx(seconds(path)) and found == sorted(set(found))


def test_a_damaged_picture_of_an_avi_leaves_its_time_empty(tmp_path):
    path, lost = film(tmp_path / "a.avi", size=(64, 96), codec="mjpeg", pixels="yuvj444p"), []
    times = seconds(path)
    damaged(path, 4)
    found = [frame.seconds for frame in read_opened(str(path), lost.append)]
    assert len(lost) == 1 and found == pytest.approx(times[:4] + times[5:])


@pytest.mark.parametrize(("codec", "pixels", "suffix"), [("mjpeg", "yuvj444p", ".mkv"), ("libx264", "yuv420p", ".mp4")])
def test_a_damaged_packet_costs_one_frame(tmp_path, codec, pixels, suffix):
    path, lost = film(tmp_path / f"a{suffix}", size=(64, 96), codec=codec, pixels=pixels), []
    damaged(path, 4)
    assert len(list(read_opened(str(path), lost.append))) == FRAMES - 1
    assert len(lost) == 1 and lost[0].startswith("a frame, at 0.") and "cannot be decoded: Invalid data" in lost[0]


def test_a_frame_of_another_size_costs_itself(tmp_path):
    """A camera that is told to change its picture; films of two sizes in one stream of JPEG files."""
    path, lost = tmp_path / "a.mjpeg", []
    films = [film(tmp_path / f"{size[0]}.mkv", [0, 512], size, codec="mjpeg", pixels="yuvj444p")
             for size in ((32, 48), (48, 64))]  # fmt: skip
    with path.open("wb") as stream:
        for one in films:
            with av.open(str(one)) as container:
                stream.write(b"".join(bytes(packet) for packet in container.demux(video=0)))
    frames = list(read_opened(str(path), lost.append, "mjpeg"))
    assert [frame.pixels.shape for frame in frames] == [(32, 48, 3)] * 2
    assert lost == [f"frame {number} is of 64x48 pixels; the first was of 48x32" for number in (3, 4)]


def test_what_cannot_be_opened_is_named(tmp_path):
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(5000))
    for name, container_name, reason in (
        (tmp_path / "none.mp4", None, "No such file or directory"),
        (tmp_path / "noise", None, "Invalid data found"),
        (tmp_path / "noise", "videotape", "videotape"),
    ):
        with pytest.raises(UserError, match=rf"--input {name} cannot be opened: .*{reason}") as refusal:
            next(read_opened(str(name), refuse, container_name))
        assert "raw frames and their --size" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_source_that_fails_in_the_middle_is_named_after_its_frames(tmp_path, monkeypatch):
    path = film(tmp_path / "a.mkv", [0, 512])
    packets = incoming._packets

    def unplugged(container, stream, name):
        class Unplugged:
            def demux(self, stream):
                yield from container.demux(stream)
                raise av.error.ConnectionResetError(104, "Connection reset by peer", name)

        return packets(Unplugged(), stream, name)

    monkeypatch.setattr(incoming, "_packets", unplugged)
    frames = read_opened(str(path), refuse)
    assert len([next(frames), next(frames)]) == 2
    with pytest.raises(ImageError, match=r"a\.mkv: the stream ended: Connection reset by peer"):
        next(frames)
