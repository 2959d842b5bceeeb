"""A video in, a video of overlays out, and its label maps where they are asked for; whole, however often killed."""

import json
import os
import signal

import numpy as np
import pytest

from pipelines.batch_inference import video as making
from pipelines.batch_inference.work import JobControl
from pipelines.data.images import read_image, read_raw
from pipelines.errors import ImageError, UserError
from pipelines.stages.predicting.predict_frames import overlay
from pipelines.stages.predicting.predict_video import label_folder, predict_video
from tests.pipelines.batch_inference.translating import in_a_process, killing, tree
from tests.pipelines.stages.predicting.predicting import IDENTITY, ByBrightness, network_of

pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")

from tests.pipelines.data.video.films import damaged, film, frames_of, seconds


def run(source, output, segmenter=None, height=32, labels=None, **control):
    network = network_of(segmenter, height)
    return predict_video(source, output, network, IDENTITY, labels=labels, control=JobControl(**control))


def expected_map(frame):
    return np.where(frame[..., 0] > 127, 10, 0).astype(np.uint8)


def test_overlays_at_the_times_of_the_frames(tmp_path):
    source = film(tmp_path / "in.mp4", sound="aac")
    summary = run(source, tmp_path / "out.mp4")
    assert summary.count_line == "10 frames in = 10 frames out (10 predicted, 0 already there)"
    assert seconds(tmp_path / "out.mp4") == pytest.approx(seconds(source), abs=1e-3)
    for before, after in zip(frames_of(source), frames_of(tmp_path / "out.mp4"), strict=True):
        assert np.abs(overlay(before, expected_map(before)).astype(int) - after).mean() < 12  # 4:2:0, and the encoder
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "out.mp4", "out.mp4.json"]
    about = json.loads((tmp_path / "out.mp4.json").read_text())
    assert (about["labels"], about["height"], about["runtime"]) == (None, 32, "torch")


@pytest.mark.parametrize(("labels", "read"), [("train_ids", read_raw), ("colour", read_image)])
def test_label_maps_beside_it(tmp_path, labels, read):
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4", labels=labels)
    folder = label_folder(tmp_path / "out.mp4")
    assert sorted(os.listdir(folder)) == [*(f"{number:06d}.png" for number in range(10)), "prediction.json"]
    last = read(folder / "000009.png")
    assert last.shape == ((32, 48) if labels == "train_ids" else (32, 48, 3))
    if labels == "train_ids":
        assert (last == expected_map(frames_of(source)[9])).all()


def test_what_is_whole_is_kept_and_a_lost_label_map_made_again(tmp_path):
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4", labels="label_ids")
    before, segmenter = tree(tmp_path), ByBrightness()
    assert run(source, tmp_path / "out.mp4", segmenter, labels="label_ids").resumed == 10
    assert segmenter.heights == [] and tree(tmp_path) == before
    (tmp_path / "out.mp4.labels/000003.png").unlink()
    (tmp_path / "out.mp4.labels/000004.png").write_bytes(b"spoiled")
    run(source, tmp_path / "out.mp4", labels="label_ids")
    assert tree(tmp_path) == before


def test_another_prediction_is_refused_or_set_aside_with_its_label_maps(tmp_path):
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "out.mp4", labels="train_ids")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="holds another prediction: labels was train_ids and is colour"):
        run(source, tmp_path / "out.mp4", labels="colour")
    with pytest.raises(UserError, match="is not what this command would make"):
        run(source, tmp_path / "out.mp4")
    assert tree(tmp_path) == before
    run(source, tmp_path / "out.mp4", labels="colour", restart=True)
    after = tree(tmp_path)
    assert after["out.replaced-1.mp4"] == before["out.mp4"]
    assert after["out.mp4.labels.replaced-1/000000.png"] == before["out.mp4.labels/000000.png"]


def test_a_video_that_fails_leaves_nothing(tmp_path):
    source = film(tmp_path / "in.mp4")
    source.write_bytes(source.read_bytes()[:900])
    with pytest.raises(ImageError, match=r"in\.mp4"):
        run(source, tmp_path / "out.mp4", labels="train_ids")
    assert os.listdir(tmp_path) == ["in.mp4"]
    (tmp_path / "out.mp4.labels").mkdir()
    (tmp_path / "out.mp4.labels/mine.png").write_bytes(b"precious")
    with pytest.raises(UserError, match="exists and is no prediction"):
        run(film(tmp_path / "in.mp4"), tmp_path / "out.mp4", labels="train_ids")


def test_label_maps_of_another_film_of_the_same_name_are_set_aside_with_its_video(tmp_path):
    """Else those behind the last frame of a shorter one would stay among its own."""
    source, output = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    run(source, output, labels="train_ids")
    before = tree(tmp_path)
    film(source, times=[0, 512, 1024])
    with pytest.raises(UserError, match="holds another prediction: video was"):
        run(source, output, labels="train_ids")
    run(source, output, labels="train_ids", restart=True)
    names = [*(f"{number:06d}.png" for number in range(3)), "prediction.json"]
    after = tree(tmp_path)
    assert sorted(os.listdir(tmp_path / "out.mp4.labels")) == names
    assert after["out.mp4.labels.replaced-1/000009.png"] == before["out.mp4.labels/000009.png"]
    assert after["out.replaced-1.mp4"] == before["out.mp4"]


def test_a_film_that_is_damaged_in_the_middle_leaves_neither_pieces_nor_label_maps(tmp_path, monkeypatch):
    monkeypatch.setattr(making, "PIECE_FRAMES", 3)
    source = damaged(film(tmp_path / "in.mkv", size=(64, 96), codec="mjpeg", pixels="yuvj444p"), 7)
    with pytest.raises(ImageError, match=r"in\.mkv: cannot be decoded after frame 7 of 10"):
        run(source, tmp_path / "out.mp4", labels="train_ids")
    assert os.listdir(tmp_path) == ["in.mkv"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_killed_around_calls_to_the_file_system(tmp_path, monkeypatch, call):
    monkeypatch.setattr(making, "PIECE_FRAMES", 3)
    source = film(tmp_path / "in.mp4")
    run(source, tmp_path / "whole/film.mp4", labels="train_ids")
    undisturbed, at, status, resumed = tree(tmp_path / "whole"), 1, signal.SIGKILL, set()
    while status == signal.SIGKILL:
        output = tmp_path / f"out-{at}/film.mp4"

        def until_killed():
            setattr(os, call, killing(getattr(os, call), at))  # noqa: B023
            run(source, output, labels="train_ids")  # noqa: B023

        status = in_a_process(until_killed)
        resumed.add(run(source, output, labels="train_ids").resumed)
        assert tree(output.parent) == undisturbed
        at += 4
    assert status == 0 and len(resumed) > 2
