"""Translations that were killed, stopped or changed in between: they must end up as if nothing had happened."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.batch_inference import flow, record
from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import plan_sets
from pipelines.batch_inference.shards import Part, candidates
from pipelines.data.disk import files
from pipelines.data.disk.manifest import JOURNAL, Journal, read_manifest
from pipelines.data.images import write_image
from pipelines.errors import BusyError, Interrupted, StorageError, UserError
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import (
    Counting,
    as_sets,
    in_a_process,
    killing,
    negative,
    paint,
    run,
    run_folder,
    tree,
)

# --- killed, and run again --------------------------------------------------------------------------------------------


def finished(output):
    """Frames that the journal or the manifest says are done."""
    if (output / "manifest.jsonl").exists():
        return len(read_manifest(output / "manifest.jsonl"))
    if not (output / JOURNAL).exists():
        return 0
    with Journal(output / JOURNAL) as journal:
        return len(journal.entries)


def assert_resumes(source, output, undisturbed):
    done, translate = finished(output), Counting()
    summary = run(source, output, translate)
    assert tree(output) == undisturbed
    assert translate.calls == summary.made == 5 - done
    assert summary.resumed == done
    return done


def test_killed_in_the_network_at_every_frame(source, tmp_path):
    run(source, tmp_path / "undisturbed")
    undisturbed = tree(tmp_path / "undisturbed")
    for at in range(1, 6):
        output = tmp_path / f"out{at}"
        translate = killing(negative, at, after=False)
        assert in_a_process(lambda: run(source, output, translate)) == signal.SIGKILL  # noqa: B023
        assert not (output / "manifest.jsonl").exists()
        assert_resumes(source, output, undisturbed)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", ["replace", "fsync", "link", "unlink", "mkdir"])
def test_killed_around_every_call_to_the_file_system(source, tmp_path, call, after):
    run(source, tmp_path / "undisturbed")
    undisturbed = tree(tmp_path / "undisturbed")
    at, status, done = 0, signal.SIGKILL, set()
    while status == signal.SIGKILL:
        at += 1
        output = tmp_path / f"out{at}"

        def until_killed():
            setattr(os, call, killing(getattr(os, call), at, after))  # noqa: B023
            run(source, output, workers=1)  # noqa: B023

        status = in_a_process(until_killed)
        done.add(assert_resumes(source, output, undisturbed))
        shutil.rmtree(output)
    assert status == 0 and at > 5
    assert len(done) > 2


def test_killed_again_and_again(source, tmp_path):
    run(source, tmp_path / "undisturbed")
    output, kills = tmp_path / "out", 0
    while in_a_process(lambda: run(source, output, killing(negative, 4, after=True), workers=1)) == signal.SIGKILL:
        kills += 1
        assert kills <= 2  # two frames are under way when a third is noted, so each run of four notes one at least
    assert kills >= 1
    assert tree(output) == tree(tmp_path / "undisturbed")


SCRIPT = """
import sys, threading
from pathlib import Path
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.inputs import plan_input
from pipelines.stages.translating.translate_frames import translate_frames
batches = []
def ends_never(image):
    batches.append(1)
    if len(batches) == 3:
        print(flush=True)
        threading.Event().wait()
    return 1 - image
source, output = Path(sys.argv[1]), Path(sys.argv[2])
translate_frames(plan_input(source, output)[0], output, Network(ends_never, 2), {"checkpoint_sha256": "c" * 64})
"""


def test_killed_from_outside_in_an_interpreter_of_its_own(tmp_path):
    for index in range(12):
        write_image(tmp_path / f"in/{index:02}.png", paint(index))
    identity = {"checkpoint_sha256": "c" * 64}
    frames = plan_input(tmp_path / "in", tmp_path / "out")[0]
    translate_frames(frames, tmp_path / "undisturbed", Network(negative, 2), identity)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in"), str(tmp_path / "out")]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE)
    process.stdout.readline()  # two batches are made, and will be on the disk at any moment
    while process.poll() is None and not list((tmp_path / "out").glob("*.png")):
        pass
    process.kill()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    translate = Counting()
    summary = translate_frames(frames, tmp_path / "out", Network(translate, 2), identity)
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")
    assert summary.made == 12 - summary.resumed > 0 and translate.calls == -(-summary.made // 2)


def test_asked_to_stop_it_keeps_what_is_under_way(source, tmp_path):
    translate = Counting()
    with pytest.raises(Interrupted, match=r"stopped at 2 of 5 frames; the same command carries on"):
        run(source, tmp_path / "out", translate, stop_requested=lambda: translate.calls == 2)
    assert translate.calls == finished(tmp_path / "out") == 2
    run(source, tmp_path / "undisturbed")
    assert assert_resumes(source, tmp_path / "out", tree(tmp_path / "undisturbed")) == 2


def test_asked_to_stop_it_stops_though_every_frame_fails(source, tmp_path):
    """Without a frame that can be read there is no batch after which to ask."""
    for path in (source / "rgb").rglob("*.png"):
        path.write_bytes(b"no image")
    asked = []
    with pytest.raises(Interrupted, match="stopped at 2 of 5 frames"):
        run(source, tmp_path / "out", stop_requested=lambda: asked.append(1) or len(asked) > 2)


def test_what_is_there_is_looked_at_some_at_a_time(source, tmp_path, monkeypatch):
    """Of 100,000 frames on a network disk that takes an hour: it is shown, and can be stopped."""
    run(source, tmp_path / "out")
    finished = tree(tmp_path / "out")
    monkeypatch.setattr(record, "LOOKED_AT_TOGETHER", 2)
    for part in (None, Part(1, 1)):
        reports = []
        run(source, tmp_path / "out", part=part, checked=lambda done, total: reports.append((done, total)))  # noqa: B023
        assert reports == [(0, 5), (2, 5), (4, 5), (5, 5)]
        with pytest.raises(
            Interrupted, match="out: stopped when 4 of 5 finished frames were checked; the same command"
        ):
            run(
                source,
                tmp_path / "out",
                part=part,
                checked=lambda done, total: reports.append((done, total)),  # noqa: B023
                stop_requested=lambda: reports[-1] == (4, 5),  # noqa: B023
            )
        assert finished.items() <= tree(tmp_path / "out").items()
    run(source, tmp_path / "out")
    assert tree(tmp_path / "out") == finished


def test_the_joining_of_parts_can_be_stopped(source, tmp_path):
    """A frame that was done twice is looked at again, of the other part's frames by whoever joins."""
    run(source, tmp_path / "out")
    former = (tmp_path / "out/manifest.jsonl").read_bytes()
    write_image(source / "rgb/a b.png", paint(99))
    run(source, tmp_path / "out")
    (tmp_path / "out/.journal.0-of-0.jsonl").write_bytes(former)
    checks = []
    with pytest.raises(Interrupted, match="stopped when 0 of 1 finished frames were checked"):
        run(
            source,
            tmp_path / "out",
            part=Part(1, 3),
            checked=lambda done, total: checks.append(total),
            stop_requested=lambda: checks[-1:] == [1],
        )


# --- stopped by the disk, and run again -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [100, 1000, 1300, 2000])
def test_a_full_disk_stops_the_run_and_keeps_what_is_finished(source, tmp_path, limit):
    """Files may grow to `limit` bytes: first the images do not fit, then the journal's first, second, third line."""

    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        run(source, tmp_path / "out")

    run(source, tmp_path / "undisturbed")
    assert os.waitstatus_to_exitcode(in_a_process(limited)) == 6
    assert not [name for name in tree(tmp_path / "out") if name.endswith(".part")]
    assert_resumes(source, tmp_path / "out", tree(tmp_path / "undisturbed"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
def test_a_failing_disk_at_any_write(source, tmp_path, monkeypatch, code):
    run(source, tmp_path / "undisturbed")
    real, calls = os.fsync, []

    def fail_at_eighth(descriptor):
        calls.append(1)
        if len(calls) == 8:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail_at_eighth)
    with pytest.raises(StorageError, match=os.strerror(code)) as caught:
        run(source, tmp_path / "out")
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(os, "fsync", real)
    assert not [name for name in tree(tmp_path / "out") if name.endswith(".part")]
    assert_resumes(source, tmp_path / "out", tree(tmp_path / "undisturbed"))


# --- run again after a change -----------------------------------------------------------------------------------------


def test_a_finished_translation_is_left_alone(source, tmp_path):
    run(source, tmp_path / "out")
    before, translate = tree(tmp_path / "out"), Counting()
    summary = run(source, tmp_path / "out", translate)
    assert (translate.calls, summary.resumed) == (0, 5)
    assert summary.count_line == "5 frames in = 5 frames out (0 translated, 5 already there)"
    assert tree(tmp_path / "out") == before


def test_an_entry_that_says_so_already_is_not_copied(source, tmp_path):
    """Of a hundred thousand frames the copies were half of the memory."""
    run(source, tmp_path / "out")
    known = candidates(tmp_path / "out")
    valid = record.Check(1).still_valid(plan_sets(as_sets(source), tmp_path / "out"), known, tmp_path / "out")
    assert len(valid) == 5 and all(known[image][0] is entry for image, entry in valid.items())


@pytest.mark.parametrize("damage", ["source", "image", "label", "image gone", "label gone"])
def test_a_frame_that_changed_is_done_again(source, tmp_path, damage):
    run(source, tmp_path / "out")
    output = tmp_path / "out/toy"
    if damage == "source":
        write_image(source / "rgb/a b.png", paint(99))
    elif damage == "image":
        (output / "rgb/a b.png").write_bytes(b"edited")
    elif damage == "label":
        write_image(output / "ids/a b.png", np.zeros((6, 8), np.uint8))
    else:
        (output / ("rgb" if damage == "image gone" else "ids") / "a b.png").unlink()
    translate = Counting()
    run(source, tmp_path / "out", translate)
    run(source, tmp_path / "fresh")
    assert translate.calls == 1
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_the_input_may_grow_and_must_not_shrink(tmp_path):
    write_image(tmp_path / "in/a.png", paint(0))
    run_folder(tmp_path / "in", tmp_path / "out")
    write_image(tmp_path / "in/b.png", paint(1))
    translate = Counting()
    assert run_folder(tmp_path / "in", tmp_path / "out", translate).resumed == translate.calls == 1
    (tmp_path / "in/a.png").unlink()
    with pytest.raises(UserError, match=r"out/a\.png: of frame 'a', which this input would not write\. Choose another"):
        run_folder(tmp_path / "in", tmp_path / "out")


def test_a_second_image_of_a_stem_may_come_later(tmp_path):
    """The first one's frame is then called by its suffix too; its image is the same and is not made again."""
    write_image(tmp_path / "in/a.png", paint(0))
    run_folder(tmp_path / "in", tmp_path / "out")
    write_image(tmp_path / "in/a.jpg", paint(1))
    translate = Counting()
    assert run_folder(tmp_path / "in", tmp_path / "out", translate).resumed == translate.calls == 1
    assert [entry.frame for entry in read_manifest(tmp_path / "out/manifest.jsonl")] == ["a.jpg", "a.png"]
    run_folder(tmp_path / "in", tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


@pytest.mark.parametrize("part", [None, Part(1, 1)], ids=["whole", "in parts"])
@pytest.mark.parametrize("damage", ["torn", "foreign line", "twice", "empty"])
def test_a_damaged_manifest_costs_the_frames_of_its_damaged_lines(source, tmp_path, damage, part):
    run(source, tmp_path / "out")
    finished, manifest = tree(tmp_path / "out"), tmp_path / "out/manifest.jsonl"
    whole = manifest.read_bytes()
    damaged = {"torn": whole[:-40], "foreign line": whole + b"{}\n", "twice": whole + whole, "empty": b""}
    manifest.write_bytes(damaged[damage])
    summary = run(source, tmp_path / "out", part=part)
    assert summary.made == {"torn": 1, "empty": 5}.get(damage, 0)
    assert tree(tmp_path / "out") == finished


def test_the_folder_is_let_go_of_when_all_is_tidy(source, tmp_path, monkeypatch):
    """Who was let in earlier would have its new journal removed as one that is done with."""
    (source / "rgb/a b.png").write_bytes(b"no image")
    removed, held = record.remove_part_files, []

    def meanwhile(*arguments, **options):
        with pytest.raises(BusyError):
            Journal(tmp_path / "out" / JOURNAL)
        held.append(1)
        removed(*arguments, **options)

    monkeypatch.setattr(record, "remove_part_files", meanwhile)
    run(source, tmp_path / "out")
    run(source, tmp_path / "out", part=Part(1, 1))
    assert len(held) == 2 and finished(tmp_path / "out") == 4
    with Journal(tmp_path / "out" / JOURNAL) as journal:
        assert len(journal.entries) == 4
    assert not [name for name in tree(tmp_path / "out") if name.startswith(".journal.") and name != JOURNAL]


def test_mended_files_are_done_and_the_others_not_again(source, tmp_path):
    good = (source / "rgb/a b.png").read_bytes()
    write_image(tmp_path / "fresh-in/ok.png", paint(3))
    (tmp_path / "fresh-in/cut.png").write_bytes(good[:-20])
    run_folder(tmp_path / "fresh-in", tmp_path / "out")
    (tmp_path / "out/manifest.jsonl").unlink()  # as `make` does when a recipe fails
    (tmp_path / "fresh-in/cut.png").write_bytes(good)
    summary = run_folder(tmp_path / "fresh-in", tmp_path / "out")
    assert (summary.made, summary.resumed, summary.failed) == (1, 1, 0)
    run_folder(tmp_path / "fresh-in", tmp_path / "undisturbed")
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")


# --- run again while the source is out of reach -----------------------------------------------------------------------


@pytest.mark.parametrize("part", [None, Part(1, 1)], ids=["whole", "in parts"])
def test_what_was_made_of_files_that_are_gone_stays_until_they_are_back(photos, tmp_path, part):
    """A list names frames of a disk that is not mounted: they are listed as failed, and taken over once it is."""
    listed = photos / "some.txt"
    listed.write_text("rgb/a/0.png\nrgb/a/1.png\nrgb/b/0.png\n")
    run_folder(listed, tmp_path / "out", part=part)
    finished = tree(tmp_path / "out")
    (photos / "rgb/a").rename(photos / "away")
    for _ in range(2):
        summary = run_folder(listed, tmp_path / "out", part=part)
        assert (summary.resumed, summary.failed) == (1, 2)
        assert "No such file" in summary.failures[0].reason
        assert len(read_manifest(tmp_path / "out/manifest.jsonl")) == 1
        assert finished.items() - tree(tmp_path / "out").items() == {("manifest.jsonl", finished["manifest.jsonl"])}
    (tmp_path / "out/manifest.jsonl").unlink()  # as `make` does when a recipe fails
    (photos / "away").rename(photos / "rgb/a")
    translate = Counting()
    assert run_folder(listed, tmp_path / "out", translate, part=part).resumed == 3
    assert translate.calls == 0 and tree(tmp_path / "out") == finished


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT])
@pytest.mark.parametrize("where", ["rgb", "ids"])
def test_a_source_out_of_reach_ends_the_run_and_costs_nothing(source, tmp_path, monkeypatch, code, where):
    run(source, tmp_path / "out")
    finished, real = tree(tmp_path / "out"), files.open_regular

    def fails(path):
        if path.is_relative_to(source / where):
            raise OSError(code, os.strerror(code))
        return real(path)

    monkeypatch.setattr(files, "open_regular", fails)
    for output in ("out", "new"):
        with pytest.raises(StorageError, match=rf"{where}/.*: cannot read: {os.strerror(code)}"):
            run(source, tmp_path / output)
    assert finished.items() <= tree(tmp_path / "out").items()
    assert not (tmp_path / "new/failures.jsonl").exists()
    monkeypatch.undo()
    assert run(source, tmp_path / "out").resumed == run(source, tmp_path / "new").made == 5
    assert tree(tmp_path / "out") == tree(tmp_path / "new") == finished


def test_a_file_that_may_not_be_read_costs_its_frame_and_nothing_that_was_made_of_it(source, tmp_path, monkeypatch):
    run(source, tmp_path / "out")
    finished, real = tree(tmp_path / "out"), files.open_regular

    def fails(path):
        if path == source / "rgb/a b.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path)

    monkeypatch.setattr(files, "open_regular", fails)
    summary = run(source, tmp_path / "out")
    assert (summary.resumed, summary.failed) == (4, 1) and "Permission denied" in summary.failures[0].reason
    assert {name for name, _ in finished.items() - tree(tmp_path / "out").items()} == {"manifest.jsonl"}
    monkeypatch.undo()
    assert run(source, tmp_path / "out").resumed == 5 and tree(tmp_path / "out") == finished


@pytest.mark.parametrize("kind", ["rgb", "ids"])
def test_a_file_that_is_rewritten_while_it_is_read_is_read_again_by_the_next_run(source, tmp_path, monkeypatch, kind):
    """Its pixels are the old file's: with the new one's hash beside them no run would ever do the frame again."""
    real = flow.read_image_and_alpha

    def rewritten(path):
        pixels = real(path)
        if path.name == "a b.png":
            new = paint(99) if kind == "rgb" else np.zeros((6, 8), np.uint8)
            write_image(source / kind / "a b.png", new)
        return pixels

    monkeypatch.setattr(flow, "read_image_and_alpha", rewritten)
    run(source, tmp_path / "out")
    monkeypatch.undo()
    assert run(source, tmp_path / "out").made == 1
    run(source, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
