"""The main job by the real command line: killed or stopped anywhere, then given again, it ends with the same bytes.

Kills are sprung at a certain call of a certain function (see command_server.py), so that a failure can be repeated.
What may differ is left out of the comparison: `timings.jsonl`, `environment.json` and the lock.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOCAL = {"timings.jsonl", "environment.json", ".lock"}
TRANSLATOR_STEP = "translate.methods.cyclegan.CycleGAN.step"
SEGMENTER_STEP = "segment.methods.supervised.Supervised.step"
SAVE_TENSORS = "pipelines.engine.checkpoints.save_file"


def content(folder):
    """Every file of a stage's folder by its name, but for those that hold times."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in LOCAL)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def assert_same(ours, theirs):
    """Equal trees; says which files differ rather than how."""
    ours, theirs = content(ours), content(theirs)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.fixture
def stage(commands, tiny_config, tmp_path):
    """A function: run one stage into `tmp_path/run`; `trap` springs a signal."""

    def run(command, *more, trap=None, workers=0):
        common = (tiny_config, "--run", tmp_path / "run", "--threads", 1)
        making = () if command == "translate experiment" else ("--workers", workers)
        return commands(*command.split(), *common, *making, *more, trap=trap)

    return run


def kill(call, at=1, **where):
    return {"call": call, "at": at, **where}


TRANSLATOR_KILLS = {
    "before the first checkpoint": kill("os.replace", holding="/.step-00000000"),
    "in the first step": kill(TRANSLATOR_STEP, at=1),
    "in the generators' update": kill("torch.optim.Adam.step", at=5),
    "after the third step": kill(TRANSLATOR_STEP, at=3, after=True),
    "between the tensors of a checkpoint": kill(SAVE_TENSORS, at=4),
    "before a checkpoint's rename": kill("os.replace", holding="/.step-00000002"),
    "after a checkpoint's rename": kill("os.replace", holding="/.step-00000002", after=True),
    "before the last one's rename": kill("os.replace", holding="/.step-00000004"),
    "after it, before pruning": kill("os.replace", holding="/.step-00000004", after=True),
    "while pruning": kill("shutil.rmtree", holding="step-00000000-dropped"),
    "before a preview has its name": kill("os.replace", holding="previews/.step-00000002"),
    "before config.json has its name": kill("os.replace", holding="config.json"),
    "before final.json has its name": kill("os.replace", holding="final.json"),
}


@pytest.mark.parametrize("trap", TRANSLATOR_KILLS.values(), ids=TRANSLATOR_KILLS)
def test_a_killed_translator_training_carries_on(stage, tiny_run, tmp_path, trap):
    assert stage("translate train", trap=trap).code == -signal.SIGKILL
    finished = stage("translate train")
    assert finished.code == 0, finished.stderr
    assert_same(tmp_path / "run/seed-0/translator", tiny_run / "seed-0/translator")


def test_killed_again_and_again(stage, tiny_run, tmp_path):
    for trap in (
        kill(TRANSLATOR_STEP, at=2),
        kill("os.replace", holding="/.step-00000002"),
        kill(TRANSLATOR_STEP, at=3),
        kill("os.replace", holding="/.step-00000004"),
    ):
        assert stage("translate train", trap=trap).code == -signal.SIGKILL, trap
    assert stage("translate train").code == 0
    assert_same(tmp_path / "run/seed-0/translator", tiny_run / "seed-0/translator")


SEGMENTER_KILLS = {
    "in the first step": kill(SEGMENTER_STEP, at=1),
    "after the last step": kill(SEGMENTER_STEP, at=3, after=True),
    "before a checkpoint's rename": kill("os.replace", holding="/.step-00000002"),
    "after the last one's rename": kill("os.replace", holding="/.step-00000003", after=True),
}


@pytest.mark.parametrize("trap", SEGMENTER_KILLS.values(), ids=SEGMENTER_KILLS)
def test_a_killed_segmenter_training_carries_on(stage, tiny_run, tmp_path, trap):
    assert stage("segment train", "--arm", "oracle", trap=trap).code == -signal.SIGKILL
    finished = stage("segment train", "--arm", "oracle")
    assert finished.code == 0, finished.stderr
    ours, theirs = tmp_path / "run/seed-0/oracle", content(tiny_run / "seed-0/oracle")
    trained = {name: data for name, data in theirs.items() if not name.startswith("evaluation/")}
    assert content(ours) == trained


WORKERS = {
    "translate train": ("pipelines.data.sampling.unpaired_batches.UnpairedBatches.__call__", "translator"),
    "segment train --arm oracle": ("pipelines.data.sampling.labelled_batches.LabelledBatches.__call__", "oracle"),
}


@pytest.mark.parametrize(("command", "call", "place"), [(name, *where) for name, where in WORKERS.items()])
def test_a_killed_worker_is_told_in_a_line_and_the_training_carries_on(stage, tiny_run, tmp_path, command, call, place):
    """As a system short of memory kills: the process that makes the third batch, ahead of the step that wants it."""
    ended = stage(command, trap=kill(call, at=3), workers=1)
    said = ended.stderr.splitlines()[-1]
    assert ended.code == 2 and re.match(r"error: train .*: a process that makes batches was killed, .* --workers", said)
    assert "Traceback" not in ended.stderr and str(tmp_path / "run/seed-0" / place) in said
    finished = stage(command)
    assert finished.code == 0, finished.stderr
    theirs = content(tiny_run / "seed-0" / place)
    assert content(tmp_path / "run/seed-0" / place) == {
        name: data for name, data in theirs.items() if not name.startswith("evaluation/")
    }


TRANSLATION_KILLS = {
    "in the network": kill("pipelines.batch_inference.network.Network.__call__", at=3),
    "before an image has its name": kill("os.replace", at=2, holding="rgb/"),
    "before the manifest has its name": kill("os.replace", holding=".manifest.jsonl"),
}


@pytest.mark.parametrize("trap", TRANSLATION_KILLS.values(), ids=TRANSLATION_KILLS)
def test_a_killed_translation_carries_on(stage, copied_run, tiny_run, trap):
    shutil.rmtree(copied_run / "seed-0/translated")
    assert stage("translate experiment", trap=trap).code == -signal.SIGKILL
    finished = stage("translate experiment")
    assert finished.code == 0, finished.stderr
    assert_same(copied_run / "seed-0/translated", tiny_run / "seed-0/translated")


COMPARISON_KILLS = {
    "in the second arm": kill(SEGMENTER_STEP, at=5),
    "in an evaluation": kill("os.replace", at=3, holding="evaluation/predictions"),
    "before the results have their name": kill("os.replace", holding=".results.json"),
    "before the report has its name": kill("os.replace", holding=".report.html"),
}


def test_the_whole_comparison_killed_in_every_stage(stage, tiny_run, tmp_path):
    for name, trap in COMPARISON_KILLS.items():
        assert stage("compare", trap=trap).code == -signal.SIGKILL, name
    finished = stage("compare")
    assert finished.code == 0, finished.stderr
    run = tmp_path / "run"
    for part in ("translator", "translated", "source_only", "translated_net", "oracle"):
        ours = {k: v for k, v in content(run / "seed-0" / part).items() if not k.endswith(".part")}
        assert ours == content(tiny_run / "seed-0" / part), part
    ours, theirs = (json.loads((folder / "results.json").read_text())["results"] for folder in (run, tiny_run))
    assert without_times(ours) == without_times(theirs)


def without_times(results):
    return [{key: value for key, value in result.items() if key != "training_seconds"} for result in results]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("at", [1, 4])
def test_sigterm_saves_and_leaves_with_75(stage, tiny_run, tmp_path, workers, at):
    """Sent to the whole group, as batch systems do: the workers must not take the parent down."""
    trap = kill(TRANSLATOR_STEP, at=at, signal_name="SIGTERM", group=True)
    stopped = stage("translate train", trap=trap, workers=workers)
    assert stopped.code == 75, stopped.stderr
    *before, said = stopped.stderr.splitlines()  # a slow machine tells its progress, too
    assert any(line.startswith("train cyclegan, seed 0: ") for line in before)
    assert said.startswith(f"stopped: SIGTERM at step {at} of 4: checkpoint saved")
    assert (tmp_path / f"run/seed-0/translator/checkpoints/step-0000000{at}/manifest.json").exists()
    assert stage("translate train", workers=workers).code == 0
    assert_same(tmp_path / "run/seed-0/translator", tiny_run / "seed-0/translator")


def test_sigterm_during_the_last_frame_does_not_begin_the_next_stage(stage, copied_run):
    shutil.rmtree(copied_run / "seed-0/translated")
    trap = kill("pipelines.batch_inference.network.Network.__call__", at=5, signal_name="SIGTERM")
    assert stage("compare", trap=trap).code == 75
    assert (copied_run / "seed-0/translated/manifest.jsonl").exists()


def test_a_second_ctrl_c_ends_at_once(stage, tiny_run, tmp_path):
    once = stage("translate train", trap=kill(TRANSLATOR_STEP, at=2, signal_name="SIGINT"))
    assert once.code == 75 and once.stderr.splitlines()[-1].startswith("stopped: SIGINT at step 2 of 4"), once.stderr
    twice = stage("translate train", trap=kill(TRANSLATOR_STEP, at=1, signal_name="SIGINT", times=2))
    assert twice.code == 130, twice.stderr
    said = twice.stderr.splitlines()[-1]
    assert said == "error: interrupted; what was finished is kept and the same command carries on"
    assert stage("translate train").code == 0
    assert_same(tmp_path / "run/seed-0/translator", tiny_run / "seed-0/translator")


def test_in_an_interpreter_of_its_own_with_a_worker(tiny_config, tiny_run, tmp_path):
    script = [sys.executable, "-m", "pipelines.cli"]
    entry = Path(sys.executable).with_name("sim2real")
    command = [str(entry)] if entry.exists() else script
    arguments = ["translate", "train", str(tiny_config), "--run", str(tmp_path), "--workers", "1", "--threads", "1"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "seed-0/translator", tiny_run / "seed-0/translator")
