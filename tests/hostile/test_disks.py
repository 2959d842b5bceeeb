"""Disks that are full, read-only or failing, and a process out of descriptors: exit code 6, nothing lost, carries on.

The calls fail as the system makes them fail (limits of file size and of descriptors), or are made to, at a certain one.
"""

import os
import shutil

import pytest

from tests.hostile.test_kills import STAGES
from tests.pipelines.test_end_to_end import content

pytestmark = pytest.mark.slow
SAMPLED_EVERY = 12

ERRORS = {"ENOSPC": "No space left", "EDQUOT": "quota exceeded", "EIO": "Input/output error", "EROFS": "Read-only",
          "EMFILE": "Too many open files", "EACCES": "Permission denied"}  # fmt: skip
FAILING = [
    *(("os.fsync", error, at) for error in ("ENOSPC", "EIO", "EDQUOT") for at in (2, 6, 11)),
    *(("os.replace", error, at) for error in ("EROFS", "ENOSPC", "EACCES") for at in (1, 3)),
    *(("pipelines.engine.checkpoints.save_file", error, at) for error in ("ENOSPC", "EMFILE") for at in (1, 3)),
    ("pipelines.engine.checkpoints.sync_folder", "EIO", 2),
]


@pytest.fixture
def train(commands, tiny_config, tmp_path):
    """A function: a trap or limits -> the result of training the segmenter in `tmp_path/run`."""

    def run(**mishap):
        command, more, _, _ = STAGES["segmenter"]
        common = ("--run", tmp_path / "run", "--threads", 1, "--workers", 0)
        return commands(*command.split(), tiny_config, *common, *more, **mishap)

    return run


@pytest.fixture
def carries_on(train, tiny_run, tmp_path):
    """A function: the same command finishes, with the bytes of a run that nothing disturbed."""

    def finish():
        finished = train()
        assert finished.code == 0, finished.stderr
        theirs = content(tiny_run / "seed-0/oracle")
        trained = {name: data for name, data in theirs.items() if not name.startswith("evaluation/")}
        assert content(tmp_path / "run/seed-0/oracle") == trained

    return finish


def assert_the_disk_is_blamed(finished, run, *words):
    assert finished.code == 6, finished.stderr
    said = finished.stderr.splitlines()[-1]
    assert said.startswith("error: ") and "Traceback" not in finished.stderr
    assert all(word in said for word in words), said
    assert [name for name in content(run) if ".part" in name] == []


@pytest.mark.parametrize(("call", "error", "at"), FAILING)
def test_a_call_that_fails(train, carries_on, tmp_path, call, error, at):
    finished = train(trap={"call": call, "at": at, "error": error})
    assert_the_disk_is_blamed(finished, tmp_path, ERRORS[error])
    carries_on()


@pytest.mark.parametrize("limit", [3_000, 5_000, 100_000, 1_000_000, 1_490_000])
def test_a_disk_that_takes_no_more(train, carries_on, tmp_path, limit):
    """The system itself refuses, also below safetensors, which writes in Rust and has errors of its own."""
    finished = train(limits={"FSIZE": limit})
    assert_the_disk_is_blamed(finished, tmp_path, "File too large")
    carries_on()


def test_a_disk_that_fills_up_after_the_first_checkpoint(train, carries_on, tmp_path):
    first = train(trap={"call": "pipelines.engine.checkpoints.save_file", "at": 3, "error": "ENOSPC"})
    checkpoints = tmp_path / "run/seed-0/oracle/checkpoints"
    assert_the_disk_is_blamed(first, tmp_path, "No space left", str(checkpoints))
    assert [path.name for path in checkpoints.iterdir()] == ["step-00000000"]
    carries_on()


@pytest.mark.parametrize("limit", [6, 7, 8])
def test_a_process_out_of_descriptors(train, carries_on, tmp_path, limit):
    finished = train(limits={"NOFILE": limit})
    assert_the_disk_is_blamed(finished, tmp_path, "Too many open files")
    carries_on()


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_translation_on_a_failing_disk(commands, tiny_config, copied_run, tiny_run, at, error):
    translated = copied_run / "seed-0/translated"
    shutil.rmtree(translated)
    command = ("translate", "experiment", tiny_config, "--run", copied_run, "--threads", 1)
    finished = commands(*command, trap={"call": "os.fsync", "at": at, "error": error})
    assert_the_disk_is_blamed(finished, copied_run, ERRORS[error])
    assert commands(*command).code == 0
    assert content(translated) == content(tiny_run / "seed-0/translated")


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc here")
def test_a_place_where_nothing_can_be_made(commands, tiny_config):
    command, more, _, _ = STAGES["segmenter"]
    finished = commands(*command.split(), tiny_config, "--run", "/proc/self/run", "--workers", 0, *more)
    assert finished.code == 6 and "/proc/self/run" in finished.stderr and finished.stderr.count("\n") == 1
