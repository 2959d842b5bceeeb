"""Several processes, one set: whatever their number, and whenever they are killed, the folder ends up the same."""

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import pytest

from pipelines.batch_inference import shards
from pipelines.batch_inference.shards import Part
from pipelines.data.disk.manifest import JOURNAL, Journal, read_manifest
from pipelines.data.images import write_image
from pipelines.errors import Interrupted, NoInputsError, StorageError, UserError
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    Counting,
    forked,
    in_a_process,
    killing,
    negative,
    paint,
    run,
    run_folder,
    tree,
)


@pytest.fixture
def undisturbed(source, tmp_path):
    """The tree that a single process makes of `source`."""
    run(source, tmp_path / "undisturbed")
    return tree(tmp_path / "undisturbed")


def parts(count):
    return [Part(index, count) for index in range(1, count + 1)]


# --- which frames -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 30])
def test_parts_cover_every_frame_once(count):
    frames = list(range(20))
    assert sorted(frame for part in parts(count) for frame in part.of(frames)) == frames
    sizes = [len(part.of(frames)) for part in parts(count)]
    assert max(sizes) - min(sizes) <= 1


def test_a_part_is_named_by_text_or_by_torchrun():
    assert Part.parse("2/8") == Part(2, 8) and str(Part(2, 8)) == "2/8"
    for text in ("0/4", "5/4", "1", "a/b", "1/0", "-1/4", "1/2/3"):
        with pytest.raises(UserError, match="I/N"):
            Part.parse(text)
    assert Part.of_environment({"RANK": "0", "WORLD_SIZE": "4"}) == Part(1, 4)
    assert Part.of_environment({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert Part.of_environment({}) is None
    with pytest.raises(UserError, match=r"^RANK is 2 and WORLD_SIZE 2; expected ranks from 0 to 1, as torchrun gives"):
        Part.of_environment({"RANK": "2", "WORLD_SIZE": "2"})


# --- one after the other ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 9])
def test_the_last_part_makes_the_set_that_one_process_makes(source, tmp_path, undisturbed, count):
    calls = 0
    for part in parts(count):
        assert (tmp_path / "out/manifest.jsonl").exists() == (part.index > 5)
        translate = Counting()
        summary = run(source, tmp_path / "out", translate, part=part)
        calls += translate.calls
        if part.index < min(count, 5):  # of five frames, the parts from the sixth on have none
            assert summary.part == part and summary.count_line.startswith(f"part {part}: ")
    assert calls == 5 and summary.part is None
    assert summary.count_line.startswith("5 frames in = 5 frames out")
    assert tree(tmp_path / "out") == undisturbed


def test_any_later_run_joins_the_parts(source, tmp_path, undisturbed):
    """The number of parts may change in between, and one process may finish what parts began."""
    run(source, tmp_path / "out", part=Part(1, 2))
    translate = Counting()
    assert run(source, tmp_path / "out", translate, part=Part(2, 3)).part == Part(2, 3)
    summary = run(source, tmp_path / "out", translate)
    assert (summary.made, summary.resumed, translate.calls) == (1, 4, 2)
    assert tree(tmp_path / "out") == undisturbed


def test_parts_finish_what_one_process_began(source, tmp_path, undisturbed):
    translate = Counting()
    with pytest.raises(UserError, match="stopped at 2 of 5"):
        run(source, tmp_path / "out", translate, stop_requested=lambda: translate.calls == 2)
    for part in parts(2):
        run(source, tmp_path / "out", translate, part=part)
    assert translate.calls == 5
    assert tree(tmp_path / "out") == undisturbed


def test_a_finished_set_is_left_alone_by_parts(source, tmp_path, undisturbed):
    run(source, tmp_path / "out")
    for part in parts(2):
        translate = Counting()
        summary = run(source, tmp_path / "out", translate, part=part)
        assert (translate.calls, summary.part, summary.resumed) == (0, None, 5)
        assert tree(tmp_path / "out") == undisturbed


def test_a_frame_that_changed_is_done_again_by_its_part(source, tmp_path):
    run(source, tmp_path / "out")
    write_image(source / "rgb/a b.png", paint(99))
    translate = Counting()
    summaries = [run(source, tmp_path / "out", translate, part=part) for part in parts(2)]
    run(source, tmp_path / "fresh")
    assert translate.calls == 1 and summaries[-1].part is None
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_failures_of_all_parts_are_listed_together(source, tmp_path):
    for name in ("-rf", "seq1/frame"):
        (source / f"rgb/{name}.png").write_bytes(b"")
    run(source, tmp_path / "one")
    for part in parts(3):
        summary = run(source, tmp_path / "out", part=part)
    assert summary.failed == 2 and summary.count_line.startswith("5 frames in, 3 frames out")
    one, out = tree(tmp_path / "one"), tree(tmp_path / "out")
    assert one == out and len(out["failures.jsonl"].splitlines()) == 2
    write_image(source / "rgb/-rf.png", paint(0, 6, 8))
    write_image(source / "rgb/seq1/frame.png", paint(2, 6, 8))
    for part in parts(2):
        run(source, tmp_path / "out", part=part)
    assert len(read_manifest(tmp_path / "out/manifest.jsonl")) == 5 and "failures.jsonl" not in tree(tmp_path / "out")


@pytest.mark.parametrize("bad", [("-rf",), ("a b",), ("-rf", "a b")])
@pytest.mark.parametrize("first", [[None], [Part(1, 2), Part(2, 2)]])
def test_a_part_leaves_a_finished_set_with_failures_as_it_was(source, tmp_path, bad, first):
    """-rf is of part 1, "a b" of part 2: whoever fails again, and whoever has nothing to do, leaves nothing behind."""
    for name in bad:
        (source / f"rgb/{name}.png").write_bytes(b"")
    for part in first:
        run(source, tmp_path / "out", part=part)
    finished = tree(tmp_path / "out")
    for part in [*parts(2), Part(3, 7), Part(2, 9)]:
        summary = run(source, tmp_path / "out", part=part)
        assert tree(tmp_path / "out") == finished
        assert (summary.part, summary.failed, summary.made) == (None, len(bad), 0)


def test_a_part_mends_its_failure_while_the_others_stay_listed(source, tmp_path):
    """Though a line of the list be damaged: then its frame is unknown until its part has been over it."""
    for name in ("-rf", "a b", "seq1/frame"):
        (source / f"rgb/{name}.png").write_bytes(b"")
    run(source, tmp_path / "out")
    write_image(source / "rgb/a b.png", paint(1, 6, 8))
    summary = run(source, tmp_path / "out", part=Part(2, 2))
    run(source, tmp_path / "fresh")
    assert (summary.part, summary.made, summary.failed) == (None, 1, 2)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    (tmp_path / "out/failures.jsonl").write_bytes(b'{"frame": "-r\n[]\n')
    assert run(source, tmp_path / "out", part=Part(2, 2)).part == Part(2, 2)
    assert run(source, tmp_path / "out", part=Part(1, 2)).failed == 2
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_when_every_frame_of_every_part_failed(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / f"in/{name}.png").write_bytes(b"")
    assert run_folder(tmp_path / "in", tmp_path / "out", part=Part(1, 2)).failed == 1
    with pytest.raises(NoInputsError, match=r"None of 2 frames could be translated; the first: .*a\.png"):
        run_folder(tmp_path / "in", tmp_path / "out", part=Part(2, 2))


def test_what_failed_under_another_number_of_parts_may_have_been_mended(source, tmp_path, undisturbed):
    """-rf fails as part 1 of 4; then as one of eight parts it is not yet done, while the last one finishes."""
    good = (source / "rgb/-rf.png").read_bytes()
    (source / "rgb/-rf.png").write_bytes(b"")
    assert run(source, tmp_path / "out", part=Part(1, 4)).failed == 1
    (source / "rgb/-rf.png").write_bytes(good)
    for part in parts(8)[1:]:
        assert run(source, tmp_path / "out", part=part).part == part
    assert run(source, tmp_path / "out", part=Part(1, 8)).failed == 0
    assert tree(tmp_path / "out") == undisturbed


def test_a_disk_without_locks_is_called_so(source, tmp_path, monkeypatch):
    def refuses(stream, operation):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuses)
    for part in (None, Part(1, 2)):
        with pytest.raises(StorageError, match="this disk offers no locks"):
            run(source, tmp_path / "out", part=part)


# --- at the same time -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4])
def test_parts_at_the_same_time(source, tmp_path, undisturbed, count):
    """Each begins its first frame when all do."""
    together, begun = multiprocessing.get_context("fork").Barrier(count), []

    def met(image):
        if not begun:
            begun.append(together.wait())
        return negative(image)

    children = [forked(lambda: run(source, tmp_path / "out", met, part=part)) for part in parts(count)]  # noqa: B023
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * count
    assert tree(tmp_path / "out") == undisturbed


def test_parts_that_are_killed_again_and_again(tmp_path):
    """Two processes at a time, each killed at its first to fourth frame, 12 times; then two that may finish."""
    for index in range(60):
        write_image(tmp_path / f"in/{index:02}.png", paint(index))
    run_folder(tmp_path / "in", tmp_path / "undisturbed")

    def start(part, translate):
        return forked(lambda: run_folder(tmp_path / "in", tmp_path / "out", translate, workers=1, part=part))

    for turn in range(12):
        ends = [killing(negative, 1 + (turn + index) % 4, after=True) for index in (1, 2)]
        children = [start(Part(index, 2 + turn % 2), ending) for index, ending in enumerate(ends, 1)]
        assert [os.waitpid(child, 0)[1] for child in children] == [signal.SIGKILL] * 2
    noted = set()
    for path in (tmp_path / "out").glob(".journal.*-of-*.jsonl"):
        with Journal(path) as journal:
            noted |= journal.entries.keys()
    assert 0 < len(noted) < 60
    for child in [start(part, negative) for part in parts(2)]:
        assert os.waitpid(child, 0)[1] == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")


@pytest.mark.parametrize("call", ["replace", "unlink", "fsync"])
def test_the_last_part_killed_around_every_call_to_the_file_system(source, tmp_path, undisturbed, call):
    """Among them all calls of the joining: what is left is joined by the next run, of a part or of all."""
    run(source, tmp_path / "begun", part=Part(1, 2))
    at, status, sizes = 0, signal.SIGKILL, set()
    while status == signal.SIGKILL:
        at += 1
        output = Path(shutil.copytree(tmp_path / "begun", tmp_path / "out"))

        def until_killed():
            setattr(os, call, killing(getattr(os, call), at))  # noqa: B023
            run(source, output, part=Part(2, 2), workers=1)  # noqa: B023

        status = in_a_process(until_killed)
        sizes.add(len(tree(output)))
        run(source, output, part=Part(2, 2) if at % 2 else None)
        assert tree(output) == undisturbed
        shutil.rmtree(output)
    assert status == 0 and at > 2 and sizes


def test_a_manifest_that_another_part_takes_away_meanwhile(source, tmp_path, monkeypatch):
    """Both find more frames than the manifest lists; it is gone when the second one looks for it, or after."""
    run(source, tmp_path / "out")
    entries = read_manifest(tmp_path / "out/manifest.jsonl")
    real = shards._hidden

    def meanwhile(output):
        shards.demote_manifest(output)
        return real(output)

    monkeypatch.setattr(shards, "_hidden", meanwhile)
    for _ in range(2):
        assert shards.candidates(tmp_path / "out") == {entry.image: [entry] for entry in entries}


def test_a_part_waits_while_another_process_has_the_folder_to_itself(source, tmp_path, undisturbed):
    """As whoever joins the parts has, for as long as that takes. It says so once, and hears a stop."""
    said, asked = [], []
    (tmp_path / "out").mkdir()
    other = Journal(tmp_path / "out" / JOURNAL)

    def done_at_the_third_look():
        asked.append(1)
        if len(asked) == 3:
            other.close()
        return False

    with pytest.raises(Interrupted, match="stopped while another process had it to itself; the same command"):
        run(source, tmp_path / "out", part=Part(1, 2), stop_requested=lambda: True)
    run(source, tmp_path / "out", part=Part(1, 2), say=said.append, stop_requested=done_at_the_third_look)
    assert len(asked) > 3
    assert said == [f"{tmp_path / 'out'}: another process has it to itself; waiting until that is done"]
    run(source, tmp_path / "out", part=Part(2, 2))
    assert tree(tmp_path / "out") == undisturbed


def test_one_part_twice_and_a_whole_run_beside_parts_are_refused(source, tmp_path):
    def beside_a_part(image):
        for part in (Part(1, 2), None):
            with pytest.raises(UserError, match="another process is at work in it; wait until it is done and run"):
                run(source, tmp_path / "out", part=part)
        with pytest.raises(UserError, match="another process is at work"):
            run(source, tmp_path / "out", identity=IDENTITY | {"tiles": 1}, part=Part(2, 2), restart=True)
        return image

    assert run(source, tmp_path / "out", beside_a_part, part=Part(1, 2)).made == 3


def test_parts_restart_a_foreign_translation_once(source, tmp_path):
    run(source, tmp_path / "out", identity=IDENTITY | {"tiles": 1})
    for part in parts(2):
        run(source, tmp_path / "out", part=part, restart=True)
    assert not (tmp_path / "out.replaced-2").exists()
    run(source, tmp_path / "fresh")
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")
    with pytest.raises(UserError, match="holds another translation"):
        run(source, tmp_path / "out", identity=IDENTITY | {"tiles": 1}, part=Part(1, 2))


def test_the_leftovers_of_a_killed_part_are_swept_up(source, tmp_path, undisturbed):
    run(source, tmp_path / "out", part=Part(1, 2))
    (tmp_path / "out/toy/rgb/.a b.png.4711.part").write_bytes(b"half")
    (tmp_path / "out/.journal.1-of-3.jsonl").write_bytes(b'{"frame": "toy/a')
    assert (tmp_path / "out" / JOURNAL).exists()
    run(source, tmp_path / "out", part=Part(2, 2))
    assert tree(tmp_path / "out") == undisturbed
