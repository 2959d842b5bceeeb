"""A video made piece by piece: killed and resumed, stopped, and two processes kept apart."""

import itertools
import os
import signal
from pathlib import Path

import pytest

from pipelines.batch_inference import video as making
from pipelines.data.video.recorded import read_facts, read_frames
from pipelines.errors import ImageError, Interrupted, StorageError, UserError
from tests.pipelines.batch_inference.translating import (
    Counting,
    in_a_process,
    killing,
    negative,
    run_video,
    tree,
)
from tests.pipelines.data.video.films import damaged, film, seconds


def test_a_finished_video_is_left_alone_and_another_is_not_overwritten(tmp_path):
    source = film(tmp_path / "in.mp4")
    run_video(source, tmp_path / "out.mp4")
    before, translate = tree(tmp_path), Counting()
    assert run_video(source, tmp_path / "out.mp4", translate).resumed == 10 and translate.calls == 0
    assert tree(tmp_path) == before
    with pytest.raises(UserError, match=r"is not what this command would make \(height was left out and is 16\);"):
        run_video(source, tmp_path / "out.mp4", height=16)
    run_video(source, tmp_path / "out.mp4", height=16, restart=True)
    assert (tmp_path / "out.replaced-1.mp4").read_bytes() == before["out.mp4"]
    with pytest.raises(UserError, match="is the input"):
        run_video(source, source)


@pytest.mark.parametrize("content", ['{"camera": 7}', "no JSON"])
def test_a_file_that_has_the_name_of_the_record_is_not_overwritten(tmp_path, content):
    """Somebody's notes on the video that was there, say."""
    source, record = film(tmp_path / "in.mp4"), tmp_path / "out.mp4.json"
    record.write_text(content)
    with pytest.raises(UserError, match=r"out\.mp4\.json: exists and is no record of a video"):
        run_video(source, tmp_path / "out.mp4")
    assert record.read_text() == content and sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4.json"]


def test_the_record_of_a_video_that_is_gone_is_written_anew(tmp_path):
    source = film(tmp_path / "in.mp4")
    run_video(source, tmp_path / "out.mp4")
    (tmp_path / "out.mp4").unlink()
    assert run_video(source, tmp_path / "out.mp4", height=16).resumed == 0
    assert run_video(source, tmp_path / "out.mp4", height=16).resumed == 10


def test_a_link_that_leads_to_itself_gives_way_to_the_video(tmp_path):
    (tmp_path / "out.mp4").symlink_to(tmp_path / "out.mp4")
    assert run_video(film(tmp_path / "in.mp4"), tmp_path / "out.mp4").frames == 10
    assert len(read_facts(tmp_path / "out.mp4")) == 10


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_killed_around_every_call_to_the_file_system(tmp_path, monkeypatch, call):
    monkeypatch.setattr(making, "PIECE_FRAMES", 3)
    source = film(tmp_path / "in.mp4")
    run_video(source, tmp_path / "undisturbed.mp4", negative)
    at, status, resumed = 0, signal.SIGKILL, set()
    while status == signal.SIGKILL:
        at += 1
        output = tmp_path / "out" / "undisturbed.mp4"

        def until_killed():
            setattr(os, call, killing(getattr(os, call), at))  # noqa: B023
            run_video(source, output, negative)  # noqa: B023

        status = in_a_process(until_killed)
        translate = Counting()
        summary = run_video(source, output, translate)
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
        run_video(
            source,
            tmp_path / "out.mp4",
            progress=lambda done, total: seen.append(done),
            stop_requested=lambda: 6 in seen,
        )
    assert not (tmp_path / "out.mp4").exists()
    assert run_video(source, tmp_path / "out.mp4").resumed == 4


def test_a_source_that_is_damaged_leaves_nothing(tmp_path, monkeypatch):
    """Pieces would be of no use: mended it is another source. Those of an earlier run go too."""
    monkeypatch.setattr(making, "PIECE_FRAMES", 3)
    source = damaged(film(tmp_path / "in.mkv", size=(64, 96), codec="mjpeg", pixels="yuvj444p"), 7)
    with pytest.raises(Interrupted):
        run_video(source, tmp_path / "out.mp4", stop_requested=lambda: True)
    assert (tmp_path / ".out.mp4.pieces").exists()
    with pytest.raises(ImageError, match=r"in\.mkv: cannot be decoded after frame 7 of 10: Invalid data"):
        run_video(source, tmp_path / "out.mp4")
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_what_says_nothing_of_the_source_leaves_its_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "PIECE_FRAMES", 3)
    source = film(tmp_path / "in.mkv")

    def out_of_reach(*arguments):
        yield from itertools.islice(read_frames(*arguments), 7)
        raise StorageError("in.mkv: cannot be read: Stale file handle")

    with monkeypatch.context() as patch, pytest.raises(StorageError):
        patch.setattr(making, "read_frames", out_of_reach)
        run_video(source, tmp_path / "out.mp4")
    assert run_video(source, tmp_path / "out.mp4").resumed == 6


def test_a_sound_that_the_output_cannot_hold_is_refused_before_anything_is_computed(tmp_path):
    source, translate = film(tmp_path / "in.mkv", sound="aac"), Counting()
    said = r"in\.mkv: its sound \(aac\) cannot be carried into a \.webm file; try \.mkv"
    with pytest.raises(ImageError, match=said):
        run_video(source, tmp_path / "out.webm", translate)
    assert translate.calls == 0 and os.listdir(tmp_path) == ["in.mkv"]


def test_a_stripe_that_would_take_all_memory_at_another_height_is_refused(tmp_path):
    translate = Counting()
    with pytest.raises(ImageError, match=r"in\.mkv: 48x32 pixels are too long a stripe at height 5000"):
        run_video(film(tmp_path / "in.mkv"), tmp_path / "out.mkv", translate, height=5000)
    assert translate.calls == 0 and os.listdir(tmp_path) == ["in.mkv"]


def test_two_processes_on_one_video_are_refused(tmp_path):
    source = film(tmp_path / "in.mp4")

    def meanwhile(image):
        with pytest.raises(UserError, match="another process is making it"):
            run_video(source, tmp_path / "out.mp4")
        return image

    assert run_video(source, tmp_path / "out.mp4", meanwhile).frames == 10


@pytest.mark.parametrize("frames", [1, 6, 7, 8, 107])
def test_whatever_number_of_frames_the_last_piece_has(tmp_path, frames):
    times = [900 * number + number % 3 for number in range(frames)]
    source = film(tmp_path / "in.mp4", times)
    for suffix in ("mp4", "webm"):
        assert run_video(source, tmp_path / f"out.{suffix}").frames == frames
        assert seconds(tmp_path / f"out.{suffix}") == pytest.approx(seconds(source), abs=1e-3)


def test_a_colon_in_a_name_makes_no_protocol_of_it(tmp_path, monkeypatch):
    """FFmpeg would take what stands before it for one, as long as no folder does."""
    monkeypatch.chdir(tmp_path)
    source, output = Path("2024-01-01T12:30:00.mp4"), Path("again:1.mp4")
    film(tmp_path / source)
    assert run_video(source, output).frames == 10
    assert run_video(source, output).resumed == len(read_facts(output)) == 10
