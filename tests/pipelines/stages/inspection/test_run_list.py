"""Runs at a glance: what each folder is, how far it came; one that is damaged or held shows it and hides no other."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipelines.engine.runs import RunFolder
from pipelines.errors import NoInputsError, UserError
from pipelines.stages.inspection.run_list import RunSummary, age_in_words, as_json, describe, find_runs, summary, table


@pytest.fixture
def experiment(tiny_run, tmp_path):
    return Path(shutil.copytree(tiny_run / "seed-0", tmp_path / "seed-0"))


def states(root):
    return {Path(run.path).name: run.state for run in find_runs(root)}


def test_a_finished_experiment(experiment):
    runs = {Path(run.path).name: run for run in find_runs(experiment)}
    assert set(runs) == {"translator", "source_only", "translated_net", "oracle"}
    translator, oracle = runs["translator"], runs["oracle"]
    assert (translator.what, translator.state) == ("translator cyclegan", "finished")
    assert (translator.steps_done, translator.steps, translator.seed, translator.mean_iou) == (4, 4, 0, None)
    assert (oracle.what, oracle.steps_done, oracle.steps) == ("segmenter ddrnet23_slim", 3, 3)
    measured = json.loads((experiment / "oracle/evaluation/evaluation.json").read_text())["mean_iou"]
    assert oracle.mean_iou == measured
    assert oracle.size_bytes == sum(
        path.stat().st_size for path in (experiment / "oracle").rglob("*") if path.is_file()
    )


def test_how_far_a_run_came(experiment):
    (experiment / "oracle/final.json").unlink()
    (experiment / "source_only/final.json").unlink()
    shutil.rmtree(experiment / "source_only/checkpoints")
    (experiment / "translator/config.json").write_text("[[")
    assert states(experiment) == {
        "oracle": "stopped",
        "source_only": "begun",
        "translator": "damaged",
        "translated_net": "finished",
    }


def test_a_run_that_a_process_holds_is_running(experiment):
    oracle = experiment / "oracle"
    (oracle / "final.json").unlink()
    run = RunFolder(oracle, json.loads((oracle / "config.json").read_text()))
    assert states(experiment)["oracle"] == "running"
    run.close()
    assert states(experiment)["oracle"] == "stopped"


def test_the_latest_comes_first(experiment):
    for number, name in enumerate(("oracle", "translator", "source_only", "translated_net")):
        for path in (experiment / name).rglob("*"):
            os.utime(path, (10**9 + number, 10**9 + number))
    names = [Path(run.path).name for run in find_runs(experiment)]
    assert names == ["translated_net", "source_only", "translator", "oracle"]
    assert summary(experiment / "oracle", 10**9 + 90).age_seconds == 90


@pytest.mark.parametrize("config", ['{"stage": "segmenter"}', '{"stage": ["x"], "seed": "0"}', "null", ""])
def test_whatever_a_config_holds_the_row_is_there(tmp_path, config):
    (tmp_path / "odd/checkpoints").mkdir(parents=True)
    (tmp_path / "odd/config.json").write_text(config)
    (run,) = find_runs(tmp_path)
    assert (run.steps_done, run.steps, run.seed, run.mean_iou) == (0, None, None, None)
    assert table([run]).splitlines()[1].split()[-8:].count("?") <= 1 and "0/?" in table([run])


def test_the_table_and_the_lines_for_programs():
    run = RunSummary("runs/a\x1b[31m", "translator cut", "stopped", 5, 9, 0.25, 1, 2_500_000, 7300.0)
    lines = table([run]).splitlines()
    assert lines[0].split() == ["run", "what", "state", "steps", "mIoU", "seed", "size", "age"]
    # an escape sequence in a folder's name would colour the terminal, or worse
    cells = ["runs/a\ufffd[31m", "translator", "cut", "stopped", "5/9", "0.250", "1", "2.5", "MB", "2", "h"]
    assert lines[1].split() == cells
    assert json.loads(as_json([run]))["path"] == "runs/a\x1b[31m"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7199, "1 h"), (200000, "2 d")]
)
def test_ages(seconds, words):
    assert age_in_words(seconds) == words


def test_one_run_in_full(experiment):
    oracle = experiment / "oracle"
    damaged = oracle / "checkpoints/step-00000002/state.json"
    damaged.write_text(damaged.read_text().replace("2", "3"))
    with open(oracle / "metrics.jsonl", "a") as log:
        log.write('{"step": 9, "ma')  # torn
    lines = "\n".join(describe(oracle))
    assert lines.startswith(f"{oracle}: segmenter ddrnet23_slim, seed 0\nfinished, step 3/3, ")
    assert "checkpoint step-00000003: " in lines and lines.count("intact") == 1
    assert "damaged: " in lines and "step-00000002: state.json has changed since it was written" in lines
    assert "last logged: step 3, main " in lines and "frames target: " in lines and "Python 3." in lines
    assert "evaluated on 4 frames: mIoU 0.0" in lines


def test_folders_without_runs(tmp_path, experiment):
    with pytest.raises(NoInputsError, match="holds no run folder"):
        find_runs(experiment / "translated")
    with pytest.raises(NoInputsError, match="nowhere does not exist: nothing was trained here yet"):
        find_runs(tmp_path / "nowhere")
    with pytest.raises(NoInputsError, match=r"config\.json is not a folder; expected one that holds runs"):
        find_runs(experiment / "translated_net/config.json")
    with pytest.raises(UserError, match=r"is not a run folder \(no config.json\); `sim2real runs list"):
        list(describe(experiment))
    with pytest.raises(UserError, match=r"nowhere: no such folder; `sim2real runs list` names all run folders"):
        list(describe(tmp_path / "nowhere"))
