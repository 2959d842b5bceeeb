"""How a command works its way through frames: as one of several, by itself, or only on paper."""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest

from pipelines.batch_inference.plan import PlannedFrame
from pipelines.batch_inference.record import Failure
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.work import Outcome
from pipelines.commands import frame_by_frame
from pipelines.commands.frame_by_frame import (
    READERS,
    Given,
    WorkThrough,
    complain,
    complain_of_unreadable,
    refuse_for_video,
    say_network_share,
)
from pipelines.commands.segment.predict import segment_predict
from pipelines.commands.translate.run import translate_run
from pipelines.data.frames import AnyFrameSetSettings
from pipelines.errors import SomeInputsFailedError, UserError
from tests.pipelines.commands.typed import typed

ALONE = WorkThrough("cpu", "fp32", None, False, workers=0, shard=None, restart=True, dry_run=False)


@pytest.fixture(autouse=True)
def without_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_the_part_is_that_of_the_option_or_of_the_launcher(monkeypatch):
    assert ALONE.part is None
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert ALONE.part == Part(3, 4)
    assert replace(ALONE, shard="1/2").part == Part(1, 2)
    with pytest.raises(UserError, match="--shard x: expected I/N"):
        _ = replace(ALONE, shard="x").part


FILM = Given(Path("in.mp4"), Path("out.mp4"), "folder", ())


@pytest.fixture
def beside_a_film(monkeypatch, tmp_path):
    """The working folder holds in.mp4, which need not be one, and a folder of such a name."""
    monkeypatch.chdir(tmp_path)
    Path("in.mp4").touch()
    Path("folder.mp4").mkdir()


@pytest.mark.parametrize(
    ("given", "shard", "more", "message"),
    [
        (replace(FILM, source=Path("no.mp4")), None, {}, "--input no.mp4 does not exist; check the path"),
        (replace(FILM, output=Path("out")), None, {}, "--input in.mp4: a video is done into a video; give --output a"),
        (replace(FILM, output=Path("out.avi")), None, {}, "out.avi: videos are written as one of .mp4"),
        (FILM, "1/2", {}, "--shard 1/2: a video is done by one process; cut it into several to share the work"),
        (replace(FILM, reader="carla"), None, {}, "--reader: of use for images in files, and --input in.mp4"),
        (replace(FILM, reader_settings=("first=1",)), None, {}, "--frames: of use for images in files"),
        (replace(FILM, carry=("{name}.txt",)), None, {"--quality": True}, "--carry and --quality: of use for images"),
        (FILM, None, {"--format": True, "--quality": False}, "--format: of use for images in files"),
    ],
)  # fmt: skip
def test_what_is_not_for_a_video_is_refused(beside_a_film, given, shard, more, message):
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        refuse_for_video(given, replace(ALONE, shard=shard), "done", more)


@pytest.mark.parametrize("command", [translate_run, segment_predict])
def test_of_a_launchers_processes_a_video_names_the_launcher(beside_a_film, monkeypatch, command):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match=r"^RANK and WORLD_SIZE, .* \(torchrun, srun\) started 3 processes: a video is"):
        typed(command, "--checkpoint", "nowhere", "--input", "in.mp4", "--output", "out.mp4")


def test_a_video_that_becomes_one_is_not_refused(beside_a_film):
    pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    refuse_for_video(FILM, ALONE, "done", {"--format": False})
    assert FILM.is_video and not replace(FILM, source=Path("folder.mp4")).is_video


@pytest.mark.parametrize("command", [translate_run, segment_predict])
@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("no.mp4", (), "--input no.mp4 does not exist"),
        ("in.mp4", ("--shard", "1/2", "--dry-run"), "--shard 1/2: a video is "),
        ("in.mp4", ("--reader", "carla"), "--reader: of use for images in files"),
        ("in.mp4", ("--workers", "3"), "--workers: of use for images in files"),
    ],
)
def test_a_video_is_refused_before_the_checkpoint_is_looked_for(beside_a_film, command, source, options, message):
    with pytest.raises(UserError, match=f"^{message}"):
        typed(command, "--checkpoint", "nowhere", "--input", source, "--output", "out.mp4", *options)


@pytest.mark.parametrize("options", [("--format", "png"), ("--quality", "90"), ("--carry", "{name}.txt")])
def test_a_translated_video_has_no_images_in_files(beside_a_film, options):
    with pytest.raises(UserError, match=f"^{options[0]}: of use for images in files"):
        typed(translate_run, "--checkpoint", "nowhere", "--input", "in.mp4", "--output", "out.mp4", *options)


def test_the_session_reads_ahead_with_at_least_one_thread():
    session = ALONE.open_session()
    assert (session.machine.device.type, session.workers, session.restart) == ("cpu", 1, True)
    assert replace(ALONE, workers=3).open_session().workers == 3


def test_every_data_set_of_files_can_be_named():
    """By --reader; toy world draws its frames, and pseudo-labels need a folder more, the root of their images."""
    known = {option for model in get_args(get_args(AnyFrameSetSettings)[0]) for option in readers_of(model)}
    assert set(READERS) == known - {"toyworld", "pseudo_labelled"}


def readers_of(model):
    return get_args(model.model_fields["reader"].annotation)


def test_of_a_handful_of_frames_no_share_is_told(capsys):
    say_network_share(0.9, frame_by_frame.WORTH_A_LINE - 1)
    say_network_share(None, 1000)
    assert capsys.readouterr().err == ""
    say_network_share(0.9, frame_by_frame.WORTH_A_LINE)
    assert capsys.readouterr().err == "the network was at work 90% of the time\n"


def test_unreadable_frames_are_complained_of():
    complain_of_unreadable([])
    with pytest.raises(SomeInputsFailedError, match="cannot be read: 2"):
        complain_of_unreadable(["a", "b"])


def test_failed_frames_are_complained_of_with_the_list_that_has_them():
    failure = Failure(PlannedFrame("a", Path("a.png"), PurePosixPath("a.png"), PurePosixPath("a.png")), "torn")
    complain(Outcome(1, 0, (), "translated"), Path("out"))
    for part, name in ((None, "failures.jsonl"), (Part(2, 3), r"\.failures\.2-of-3\.jsonl")):
        with pytest.raises(SomeInputsFailedError, match=f"^frames failed: 1; out/{name} says which and why"):
            complain(Outcome(1, 0, (failure,), "translated", part), Path("out"))
