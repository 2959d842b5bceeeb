"""What a dry run says of the frames and of the disk, and that it writes nothing."""

import os
from dataclasses import replace

import pytest

from pipelines.batch_inference.folder import Intent
from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.preview import describe_video, preview
from pipelines.batch_inference.shards import Part
from pipelines.batch_inference.work import JobControl
from pipelines.data.images import encode_jpeg, encode_png
from pipelines.errors import StorageError, UserError
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    negative,
    paint,
    tree,
)
from tests.pipelines.data.video.films import film

INTENT = Intent("translation", {"format": 1, **IDENTITY, "height": None})


def test_a_dry_run_counts_and_writes_nothing(photos, tmp_path):
    (photos / "rgb/cut.png").write_bytes(encode_png(paint(0))[:20])
    (photos / "rgb/large.jpg").write_bytes(encode_jpeg(paint(5, 32, 64)))
    before = tree(tmp_path)
    found = preview(plan_input(photos / "rgb", tmp_path / "out")[0], tmp_path / "out", INTENT)
    assert (found.frames, found.listed_as_finished, dict(found.formats)) == (6, 0, {".png": 4, ".jpg": 2})
    assert found.sizes == [((8, 6), 4), ((64, 32), 1)] and len(found.unreadable) == 1
    # On paper: three PNG of 48 pixels at 1.9 bytes, JPEG of 48 and 2048 pixels at 0.45
    assert found.bytes_needed == round(3 * 48 * 1.9 + (48 + 2048) * 0.45)
    assert found.lines[0] == "6 frames: 2 .jpg, 4 .png; 0 of them listed as finished"
    assert "cut.png: the PNG is cut off" in found.lines[4] and found.lines[-1] == "dry run: nothing was written"
    assert tree(tmp_path) == before and not (tmp_path / "out").exists()


def test_a_dry_run_knows_what_is_finished_and_whose_part_it_is(photos, tmp_path):
    frames = plan_input(photos / "rgb", tmp_path / "out")[0]
    translate_frames(frames, tmp_path / "out", Network(negative), IDENTITY, control=JobControl(part=Part(1, 2)))
    before = tree(tmp_path)
    assert preview(frames, tmp_path / "out", INTENT).listed_as_finished == 2
    found = preview(frames, tmp_path / "out", INTENT, Part(2, 2))
    assert (found.frames, found.listed_as_finished) == (2, 0) and found.lines[0].startswith("2 frames in part 2/2: ")
    assert tree(tmp_path) == before


def test_a_dry_run_refuses_a_place_where_nothing_can_be_written(photos, tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StorageError, match=r"notes\.txt/out: cannot write: Not a directory"):
        preview(plan_input(photos / "rgb", tmp_path / "out")[0], tmp_path / "notes.txt/out", INTENT)
    with pytest.raises(StorageError, match=r"notes\.txt: cannot write: Not a directory"):
        describe_video(film(tmp_path / "in.mp4"), tmp_path / "notes.txt/out.mp4")


def test_a_dry_run_names_what_has_no_name_that_can_be_written(photos, tmp_path):
    (photos / "rgb" / os.fsdecode(b"\xff.png")).write_bytes(encode_png(paint(0)))
    (photos / "rgb/\x1b[2J.png").write_bytes(b"no image")
    found = preview(plan_input(photos / "rgb", tmp_path / "out")[0], tmp_path / "out", INTENT)
    first, second = sorted(found.unreadable)
    assert first.endswith("\\udcff.png': the name is not valid UTF-8; rename the file")
    assert "/rgb/\ufffd[2J.png: is no image that we read" in second


def test_a_dry_run_refuses_what_the_run_refuses(photos, tmp_path):
    """Else a dry run that is content is followed by a night in which nothing was done."""
    frames = plan_input(photos / "rgb", tmp_path / "out")[0]
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(UserError, match="exists and is no translation"):
        preview(frames, tmp_path / "out", replace(INTENT, restart=True))
    (tmp_path / "out/mine.txt").unlink()
    translate_frames(frames, tmp_path / "out", Network(negative), IDENTITY)
    other = replace(INTENT, plan={**INTENT.plan, "precision": "bf16", "size": (8, 6)})
    with pytest.raises(UserError, match="precision was float32 and is bf16, size was left out and is 8 6"):
        preview(frames, tmp_path / "out", other)
    assert preview(frames, tmp_path / "out", replace(other, unknown=("precision", "size"))).listed_as_finished == 4
    assert preview(frames, tmp_path / "out", replace(other, restart=True)).listed_as_finished == 0
    with pytest.raises(UserError, match=r"of frame 'a/0', which this input would not write"):
        preview(frames[1:], tmp_path / "out", INTENT)


def test_a_dry_run_says_what_the_video_is(tmp_path):
    lines = describe_video(film(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    assert lines[0] == "10 frames of 48x32 at 25.000 per second" and "libx264 (crf 16" in lines[1]
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_a_dry_run_says_of_a_video_that_is_there_what_becomes_of_it(tmp_path):
    source = film(tmp_path / "in.mp4")
    with pytest.raises(UserError, match="is the input"):
        describe_video(source, source)
    film(tmp_path / "out.mp4")
    assert describe_video(source, tmp_path / "out.mp4")[2].endswith(
        "out.mp4 exists: left alone if it is what would be made, else refused, or set aside by --restart"
    )
    (tmp_path / "out.mp4").rename(tmp_path / "out.mp4.json")
    with pytest.raises(UserError, match="is no record of a video"):
        describe_video(source, tmp_path / "out.mp4")
