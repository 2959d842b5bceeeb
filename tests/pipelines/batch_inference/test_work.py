"""What becomes of all frames of a folder: counts for people, progress, and the end when none could be done."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.batch_inference import network_clock
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import plan_sets
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.work import Work
from pipelines.batch_inference.write import FrameWriter
from pipelines.data.disk.manifest import read_manifest
from pipelines.data.images import write_image
from pipelines.errors import NoInputsError
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    as_sets,
    negative,
    paint,
    run,
    run_folder,
)


def test_work_has_an_absolute_folder_and_its_frames_in_order(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = plan_sets(as_sets(source), tmp_path / "out")[::-1]
    work = Work(frames, Path("."), {}, Network(negative), FrameWriter("c" * 64, 95), "translation", "translated")
    assert work.output == tmp_path and [frame.name for frame in work.frames] == sorted(frame.name for frame in frames)


def test_how_busy_the_network_was_is_told(tmp_path, monkeypatch):
    """Six frames by a clock that goes on by a second at each look: 6 of 11 seconds are the network's."""
    for index in range(6):
        write_image(tmp_path / f"in/{index}.png", paint(index))
    seconds = count()
    monkeypatch.setattr(network_clock, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    assert run_folder(tmp_path / "in", tmp_path / "out").network_share == pytest.approx(6 / 11)
    assert run_folder(tmp_path / "in", tmp_path / "out").network_share is None


def test_progress_ends_at_the_number_of_frames(source, tmp_path):
    reports = []
    run(source, tmp_path / "out", progress=lambda done, total: reports.append((done, total)))
    assert reports == [(done, 5) for done in range(6)]


def test_a_frame_that_became_unreadable_leaves_nothing_behind(source, tmp_path):
    run(source, tmp_path / "out")
    (source / "rgb/a b.png").write_bytes(b"")
    assert run(source, tmp_path / "out").failed == 1
    assert "toy/a b" not in [entry.frame for entry in read_manifest(tmp_path / "out/manifest.jsonl")]
    assert not (tmp_path / "out/toy/rgb/a b.png").exists() and not (tmp_path / "out/toy/ids/a b.png").exists()


def test_nothing_at_all_could_be_read(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"")
    with pytest.raises(NoInputsError, match=r"None of 1 frames could be translated; the first: .*a\.png"):
        run_folder(tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out/failures.jsonl").exists() and not (tmp_path / "out/manifest.jsonl").exists()
    with pytest.raises(NoInputsError, match="no frames"):
        translate_frames([], tmp_path / "out", Network(negative), IDENTITY)


def test_the_failures_of_a_part_are_in_its_own_list_until_all_are_done(source, tmp_path):
    (source / "rgb/a b.png").write_bytes(b"")
    outcome = run(source, tmp_path / "out", part=Part(2, 2))
    assert "1 failed, see .failures.2-of-2.jsonl; the set is complete when" in outcome.count_line
    assert (tmp_path / "out" / outcome.failure_list).exists()
    outcome = run(source, tmp_path / "out", part=Part(1, 2))
    assert outcome.count_line.endswith("1 failed, see failures.jsonl")
    assert (tmp_path / "out" / outcome.failure_list).exists()
