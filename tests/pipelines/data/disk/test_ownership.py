"""Who has an output, what is swept up in it, and under which name it is set aside."""

import errno
import fcntl
import os
import signal
import threading
from pathlib import Path

import pytest

from pipelines.data.disk.ownership import (
    as_json,
    differing,
    hold,
    in_turn,
    in_words,
    is_still,
    read_plan,
    set_aside,
    sweep,
    try_lock,
)
from pipelines.errors import StorageError, UserError


def in_a_process(action):
    """The wait status of a child process that does something, and then is killed."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    return os.waitpid(child, 0)[1]


class TestLock:
    def test_a_second_owner_is_refused_in_the_callers_words(self, tmp_path):
        with hold(tmp_path / "lock", "busy"), pytest.raises(UserError, match=r"^the film is being made$"):
            hold(tmp_path / "lock", "the film is being made")
        hold(tmp_path / "lock", "busy").close()

    def test_it_dies_with_its_process(self, tmp_path):
        kept = []
        assert in_a_process(lambda: kept.append(hold(tmp_path / "lock", "busy"))) == signal.SIGKILL
        assert (tmp_path / "lock").exists()
        hold(tmp_path / "lock", "busy").close()

    def test_a_fork_that_outlives_its_killed_process_has_no_part_in_it(self, tmp_path):
        reading, writing = os.pipe()

        def hold_and_fork():
            kept = hold(tmp_path / "lock", "busy")
            os.close(writing)
            if os.fork() == 0:
                os.read(reading, 1)  # until the test has ended
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
            kept.close()

        assert in_a_process(hold_and_fork) == signal.SIGKILL
        try:
            hold(tmp_path / "lock", "busy").close()
        finally:
            os.close(writing)
            os.close(reading)

    def test_parts_hold_it_together_and_a_whole_run_may_not_join(self, tmp_path):
        with open(tmp_path / "lock", "a+b") as one, open(tmp_path / "lock", "a+b") as two:
            assert try_lock(one, together=True) and try_lock(two, together=True)
            assert not try_lock(one)
            with pytest.raises(UserError, match="busy"):
                hold(tmp_path / "lock", "busy")
            two.close()
            assert try_lock(one)

    @pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
    def test_a_disk_without_locks_is_called_so(self, tmp_path, monkeypatch, code):
        """Permissions have nothing to do with it, and without locks two processes would write over each other."""

        def refuses(stream, operation):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(fcntl, "flock", refuses)
        said = rf"lock: this disk offers no locks \({os.strerror(code)}\).*Mount it with the option flock, or put"
        with pytest.raises(StorageError, match=said):
            hold(tmp_path / "lock", "busy")
        with pytest.raises(StorageError, match=said), in_turn(tmp_path / "lock"):
            pass

    def test_what_is_in_it_stays(self, tmp_path):
        (tmp_path / "journal").write_bytes(b"a\n")
        with hold(tmp_path / "journal", "busy") as stream:
            stream.write(b"b\n")
        assert (tmp_path / "journal").read_bytes() == b"a\nb\n"

    def test_a_lock_that_its_owner_removed_meanwhile_is_taken_anew(self, tmp_path, monkeypatch):
        """Else two processes would each hold a file of that name, and one of the files would be gone."""
        locked = []

        def removed_once(stream):
            if not locked:
                (tmp_path / "lock").unlink()
            locked.append(stream)
            return True

        monkeypatch.setattr("pipelines.data.disk.ownership.try_lock", removed_once)
        with hold(tmp_path / "lock", "busy") as stream:
            assert len(locked) == 2 and locked[0].closed and is_still(tmp_path / "lock", stream)
            (tmp_path / "lock").rename(tmp_path / "aside")
            assert not is_still(tmp_path / "lock", stream)

    def test_a_missing_folder_is_a_matter_of_storage(self, tmp_path):
        with pytest.raises(StorageError, match="No such file"):
            hold(tmp_path / "missing/lock", "busy")


class TestTurn:
    def test_others_are_kept_out_until_it_is_over(self, tmp_path):
        lock = tmp_path / "new/lock"
        with in_turn(lock), open(lock, "ab") as other:
            assert not try_lock(other)
        with open(lock, "ab") as other:
            assert try_lock(other)

    def test_who_comes_meanwhile_waits(self, tmp_path):
        order, begun = [], threading.Event()

        def second():
            begun.set()
            with in_turn(tmp_path / "lock"):
                order.append("second")

        waiting = threading.Thread(target=second)
        with in_turn(tmp_path / "lock"):
            waiting.start()
            begun.wait()
            order.append("first")
        waiting.join()
        assert order == ["first", "second"]

    def test_a_place_where_no_lock_can_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="file/lock"), in_turn(tmp_path / "file/lock"):
            pass


def test_differences_are_told_in_the_words_of_options():
    before = {"tile": 64, "checkpoint_sha256": "c" * 64, "runtime": "torch"}
    now = {"fast": True, "checkpoint_sha256": "d" * 64, "size": [32, 16], "runtime": "torch"}
    assert in_words(differing(before, now)) == (
        f"checkpoint was {'c' * 12}… and is {'d' * 12}…, fast was left out and is on, "
        "size was left out and is 32 16, tile was 64 and is left out"
    )


def test_only_files_that_were_being_written_are_swept_up(tmp_path):
    part, others = f".a.png.{os.getpid()}.part", ["a.png", ".part", "a.1.part", ".a.png.x.part"]
    for folder in (tmp_path, tmp_path / "below"):
        folder.mkdir(exist_ok=True)
        for name in (part, *others):
            (folder / name).touch()
    sweep(tmp_path, below=False)
    assert not (tmp_path / part).exists() and (tmp_path / "below" / part).exists()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path / "below")) == sorted(others)
    sweep(tmp_path / "missing")


class TestPlan:
    def test_what_differs(self):
        former, asked = {"a": 1, "b": [1, 2], "gone": 3}, as_json({"a": 1, "b": (1, 3), "new": None, "z": 0})
        assert differing(former, asked) == [("b", [1, 2], [1, 3]), ("gone", 3, None), ("z", None, 0)]

    @pytest.mark.parametrize("damage", [b"{", b"[]", b"\xff\xfe\0", b""])
    def test_a_plan_that_is_damaged(self, tmp_path, damage):
        (tmp_path / "plan.json").write_bytes(damage)
        with pytest.raises(ValueError, match=r"."):
            read_plan(tmp_path / "plan.json")


class TestAside:
    def test_a_folder_gets_the_first_free_name(self, tmp_path, monkeypatch):
        (tmp_path / "run.v2.replaced-1").mkdir()
        (tmp_path / "run.v2").mkdir()
        monkeypatch.chdir(tmp_path / "run.v2")
        set_aside(Path())
        assert sorted(os.listdir(tmp_path)) == ["run.v2.replaced-1", "run.v2.replaced-2"]
        set_aside(tmp_path / "run.v2")
        assert len(os.listdir(tmp_path)) == 2

    def test_a_file_keeps_its_suffix_and_takes_along_what_belongs_to_it(self, tmp_path):
        for number in (1, 2):
            (tmp_path / "out.mp4").write_text(f"film {number}")
            if number == 2:
                (tmp_path / "out.mp4.json").write_text("record")
            set_aside(tmp_path / "out.mp4", ".mp4", [".json"])
        names = ["out.replaced-1.mp4", "out.replaced-2.mp4", "out.replaced-2.mp4.json"]
        assert sorted(os.listdir(tmp_path)) == names and (tmp_path / names[1]).read_text() == "film 2"
