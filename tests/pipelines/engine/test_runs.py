"""The run folder: whose it is, what is kept of former starts, and when its precision may not change."""

import contextlib
import json
import os
import signal

import pytest
import torch

from pipelines.engine.checkpoint_files import NEWEST_TWO, Retention
from pipelines.engine.launch import Machine
from pipelines.engine.loop import Schedule, train
from pipelines.engine.processes import Processes
from pipelines.engine.runs import FollowedRun, RunFolder, flatten, open_run
from pipelines.errors import UserError
from tests.pipelines.batch_inference.translating import in_a_process
from tests.pipelines.engine.toy import CPU, Toy, at_step, batches, run_out_of_memory, run_to


def test_other_settings_are_refused_or_set_aside(tmp_path):
    run_to(tmp_path / "run", steps=3)
    with pytest.raises(UserError, match="steps was 3, now 4"):
        RunFolder(tmp_path / "run", {"steps": 4})
    RunFolder(tmp_path / "run", {"steps": 4}, restart=True).close()
    assert (tmp_path / "run.replaced-1/metrics.jsonl").exists()
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_two_processes_cannot_share_a_run(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    with pytest.raises(UserError, match="in use by another process"):
        RunFolder(tmp_path / "run", {})
    run.close()
    RunFolder(tmp_path / "run", {}).close()


def test_a_killed_process_has_let_go_of_its_run_though_a_fork_of_it_lives(tmp_path):
    """As one that makes batches does, for seconds: the same command is to carry on at once."""
    reading, writing = os.pipe()

    def fork_and_be_killed():
        with contextlib.closing(RunFolder(tmp_path / "run", {})):
            os.close(writing)
            if os.fork() == 0:
                os.read(reading, 1)  # until the test has ended
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_process(fork_and_be_killed) == signal.SIGKILL
    try:
        RunFolder(tmp_path / "run", {}).close()
    finally:
        os.close(writing)
        os.close(reading)


def test_restart_does_not_take_a_run_from_under_another_process(tmp_path):
    run = RunFolder(tmp_path / "run", {"steps": 3})
    with pytest.raises(UserError, match="in use by another process"):
        RunFolder(tmp_path / "run", {"steps": 4}, restart=True)
    run.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe\x00", b"[]"])
def test_a_damaged_config_is_refused_or_set_aside(tmp_path, damage):
    RunFolder(tmp_path / "run", {"steps": 3}).close()
    (tmp_path / "run/config.json").write_bytes(damage)
    with pytest.raises(UserError, match="--restart to set it aside"):
        RunFolder(tmp_path / "run", {"steps": 3})
    RunFolder(tmp_path / "run", {"steps": 3}, restart=True).close()
    assert (tmp_path / "run.replaced-1/config.json").read_bytes() == damage
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"steps": 3}


def test_half_written_files_of_a_killed_run_are_swept_up(tmp_path):
    RunFolder(tmp_path / "run", {}).close()
    (tmp_path / "run/previews").mkdir()
    leftovers = [tmp_path / "run/.metrics.jsonl.17.part", tmp_path / "run/previews/.step-00000002.jpg.17.part"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    RunFolder(tmp_path / "run", {}).close()
    assert not any(leftover.exists() for leftover in leftovers)


def test_a_run_does_not_change_its_precision_half_way(tmp_path):
    with pytest.raises(MemoryError):
        run_to(tmp_path / "run", stream=at_step(5, run_out_of_memory))
    run = RunFolder(tmp_path / "run", {"steps": 6})
    try:
        with pytest.raises(UserError, match="was begun in fp32 and would go on in bf16; add --precision fp32"):
            train(Toy(), batches, run, Schedule(6, 7), Machine(torch.device("cpu"), "bf16"), {"stage": "toy"}, "toy")
    finally:
        run.close()


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b"[" * 100_000])
def test_a_run_that_does_not_say_its_precision_is_told_it(tmp_path, content):
    """A description that was taken for disposable is written anew only by a run that goes on."""
    with pytest.raises(MemoryError):
        run_to(tmp_path / "run", stream=at_step(5, run_out_of_memory))
    environment = tmp_path / "run/environment.json"
    environment.unlink()
    if content is not None:
        environment.write_bytes(content)
    with pytest.raises(UserError, match=r"environment\.json does not say .* write \{\"precision\": \"fp32\"\} into it"):
        run_to(tmp_path / "run")
    environment.write_text('{"precision": "fp32"}')
    run_to(tmp_path / "run")
    assert "machine" in json.loads(environment.read_text())


@pytest.mark.parametrize("content", [b"", b"[]", b'{"first": "loss is nan"}'])
def test_a_damaged_list_of_steps_that_are_passed_over_is_named(tmp_path, content):
    run = RunFolder(tmp_path / "run", {})
    (tmp_path / "run/skipped_steps.json").write_bytes(content)
    with pytest.raises(UserError, match=r"skipped_steps\.json is damaged \(.*remove it and run the command again"):
        run.skipped()
    run.close()


def test_a_log_is_cut_back_to_the_checkpoint_that_training_goes_on_from(tmp_path):
    """What was logged after it will be logged again; a row that a kill tore is none."""
    run = RunFolder(tmp_path / "run", {})
    rows = ['{"step": 1, "main": 3.0}', '{"step": 2, "main": 2.0}', '{"step": 3, "main": 1.0}', '{"step": 4, "ma']
    (run.path / "metrics.jsonl").write_text("\n".join(rows))
    with run.open_log("metrics.jsonl", after_step=2) as log:
        log.write('{"step": 3, "main": 1.5}\n')
    run.close()
    assert (run.path / "metrics.jsonl").read_text().splitlines() == [*rows[:2], '{"step": 3, "main": 1.5}']


@pytest.mark.parametrize(
    "row", [b"\xff\xfe", b"[1]", b"7", b'{"step": null}', b'{"step": 1e999}', b"\0" * 40, b"[" * 5000]
)
def test_a_row_that_a_disk_damaged_is_no_row(tmp_path, row):
    run = RunFolder(tmp_path / "run", {})
    (run.path / "metrics.jsonl").write_bytes(b'{"step": 1, "main": 2.5}\n' + row + b'\n{"step": 2, "main": 1.5}\n')
    assert run.logged("metrics.jsonl", 2) == [{"main": 2.5}, {"main": 1.5}]
    run.open_log("metrics.jsonl", after_step=2).close()
    assert (run.path / "metrics.jsonl").read_bytes() == b'{"step": 1, "main": 2.5}\n{"step": 2, "main": 1.5}\n'
    run.close()


def test_what_differs_is_told_by_its_path_and_no_more_than_two_at_a_time(tmp_path):
    assert flatten({"a": {"b": [1, {"c": 2}]}, "d": None}) == {"a.b.0": 1, "a.b.1.c": 2, "d": None}
    RunFolder(tmp_path / "run", {"data": {"hash": "0123456789abcdef" * 4}, "steps": 3, "seed": 0}).close()
    with pytest.raises(UserError, match=r"\(data.hash was 0123456789ab…, now short; seed was 0, now 1 and 1 more\)"):
        RunFolder(tmp_path / "run", {"data": {"hash": "short"}, "steps": 4, "seed": 1})


def test_a_run_that_is_not_trained_cannot_be_finished(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    assert run.steps_done() == 0 and run.begun_in() is None
    with pytest.raises(UserError, match="run holds no checkpoint; run the command again"):
        run.finish()
    run.close()


def test_who_does_not_lead_writes_nothing(tmp_path):
    run = open_run(tmp_path / "run", {"steps": 3}, False, Following(1, 2))
    assert isinstance(run, FollowedRun)
    run.describe_environment(CPU)
    run.save(1, Toy(), {}, {})
    run.preview(1, {})
    run.finish()
    with run.open_log("metrics.jsonl", 0) as log:
        log.write("a row")
    run.close()
    assert not (tmp_path / "run").exists() and run.checkpoint(7) == tmp_path / "run/checkpoints/step-00000007"


class Following(Processes):
    """One of two that never waits for the other."""

    def wait(self):
        pass


def test_a_run_that_becomes_complete_drops_what_a_kill_left_and_a_complete_one_nothing(tmp_path):
    def opened(retention=NEWEST_TWO):
        return RunFolder(tmp_path / "run", {}, retention=retention)

    def finish(retention):
        run = opened(retention)
        run.finish()
        run.close()
        return sorted(path.name for path in run.checkpoints.iterdir())

    run = opened(Retention(newest=4))
    for step in range(4):
        run.save(step, Toy(), {}, {})
    run.close()
    assert finish(Retention(newest=2, every=1)) == [f"step-{step:08d}" for step in (1, 2, 3)]
    assert finish(Retention(newest=1)) == [f"step-{step:08d}" for step in (1, 2, 3)]
