"""Several processes look at frames as one does: the same files to the byte, however unevenly the frames are shared out.

Trainings by several processes are in test_several_processes.py, translation and prediction by parts in
batch_inference/test_shards.py.
"""

import json
import re
import shutil

import pytest

HERE = ("--threads", 1, "--device", "cpu")


def contents(folder, *endings):
    """Bytes of the files below, by name."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.name.endswith(endings)}


@pytest.fixture
def oracle(copied_run):
    return copied_run / "seed-0/oracle"


@pytest.fixture
def evaluating(tiny_config, copied_run, oracle):
    """A function: where to, and more options -> the command that evaluates the oracle on four frames."""

    def command(output, *more):
        where = ("--run", copied_run, "--checkpoint", oracle, "--output", output, *HERE)
        return ["segment", "evaluate", tiny_config, *where, *more]

    return command


def test_three_processes_evaluate_four_frames_as_one_does(launch, evaluating, tmp_path):
    """Also what is summed in floating point, over all frames: confidence, losses."""
    found = []
    for count in (1, 3):
        folder = tmp_path / str(count)
        ended = launch(*[evaluating(folder, "--calibration", "--boundary")] * count)
        assert ended.codes == [0] * count and ended.stderr == "", ended.stderr
        assert ended.stdout.count("mIoU of the 16") == 1 and "4 frames" in ended.stdout
        found.append(contents(folder, ".json", ".csv", ".png"))
        assert (folder / "evaluation.html").exists()
    assert len(found[0]) == 3 + 4 and found[0] == found[1]


def test_more_processes_than_frames(launch, evaluating, tmp_path):
    folder = tmp_path / "many"
    ended = launch(*[evaluating(folder)] * 6)
    assert ended.codes == [0] * 6, ended.stderr
    assert len(contents(folder, ".png")) == 4


def test_a_finished_evaluation_is_read_back_by_all(launch, evaluating, tmp_path):
    folder = tmp_path / "twice"
    first, again = (launch(*[evaluating(folder)] * 2) for _ in range(2))
    assert first.codes == again.codes == [0, 0] and first.stdout == again.stdout


def test_processes_that_are_asked_for_different_measures_are_refused(launch, evaluating, tmp_path):
    folder = tmp_path / "mixed"
    assert launch(evaluating(folder), evaluating(folder, "--boundary")).refused_with(2, "the 2 processes do not have")
    assert not (folder / "evaluation.json").exists()


def test_a_killed_process_ends_the_others_and_the_same_command_carries_on(launch, evaluating, tmp_path):
    folder = tmp_path / "killed"
    ended = launch(*[evaluating(folder)] * 2, rank_1="is_killed_looking")
    assert ended.codes == [75, -9]
    assert re.fullmatch(r"stopped: another process is gone .*; what was saved is kept .*\n", ended.stderr)
    assert not (folder / "evaluation.json").exists()
    assert launch(*[evaluating(folder)] * 2).codes == [0, 0]
    assert json.loads((folder / "evaluation.json").read_text())["frames"] == 4


def test_predictions_on_disk_are_counted_together(launch, tiny_config, copied_run, oracle, tmp_path):
    found = []
    for count in (1, 2):
        folder = tmp_path / str(count)
        command = ["segment", "evaluate", tiny_config, "--run", copied_run, *HERE, "--output", folder]
        ended = launch(*[[*command, "--predictions", oracle / "evaluation/predictions"]] * count)
        assert ended.codes == [0] * count, ended.stderr
        found.append(contents(folder, ".json", ".csv"))
    assert len(found[0]) == 3 and found[0] == found[1]


# --- translated frames ------------------------------------------------------------------------------------------------


def auditing(tiny_config, run):
    return ["translate", "audit", tiny_config, "--run", run, *HERE]


def scores(run):
    """What an audit leaves in the set: its counts, and the manifest that has the scores."""
    folder = run / "seed-0/translated"
    return contents(folder, ".jsonl")


def test_two_processes_audit_five_frames_as_one_does(launch, tiny_config, tiny_run, tmp_path):
    found = []
    for count in (1, 2):
        run = shutil.copytree(tiny_run, tmp_path / str(count))
        ended = launch(*[auditing(tiny_config, run)] * count)
        assert ended.codes == [0] * count and ended.stderr == "", ended.stderr
        assert ended.stdout.count("5 frames") == 1
        found.append(scores(run))
    assert sorted(found[0]) == ["audit.jsonl", "manifest.jsonl"]
    assert found[0] == found[1]


def test_what_was_counted_before_a_process_died_is_not_counted_again(launch, tiny_config, tiny_run, tmp_path):
    """Of three frames and two: the first process keeps its three in a file of its own; one process has two to do."""
    run = shutil.copytree(tiny_run, tmp_path / "run")
    ended = launch(*[auditing(tiny_config, run)] * 2, rank_1="is_killed_looking")
    assert ended.codes == [75, -9] and "the same command carries on" in ended.stderr
    (kept,) = (run / "seed-0/translated").glob("audit.*.jsonl")
    assert kept.name == "audit.1-of-2.jsonl" and len(kept.read_bytes().splitlines()) == 3
    assert launch(auditing(tiny_config, run), rank_0="counts_two_frames").codes == [0]
    assert sorted(scores(run)) == ["audit.jsonl", "manifest.jsonl"]


@pytest.mark.parametrize("more", [(), ("--sequence",)], ids=["frames", "a sequence"])
def test_two_processes_measure_quality_as_one_does(launch, tiny_config, tiny_run, tmp_path, more):
    found = []
    for count in (1, 2):
        figures = tmp_path / f"{count}.json"
        command = ["translate", "quality", tiny_config, "--run", tiny_run, "--output", figures, *more, *HERE]
        ended = launch(*[command] * count)
        assert ended.codes == [0] * count and ended.stderr == "", ended.stderr
        assert ended.stdout.count("5 translated and 4 target frames") == 1
        found.append(json.loads(figures.read_text())["figures"])
    assert found[0] == found[1]
    assert any(figure["name"].startswith("KID") for figure in found[0])
    assert any(figure["name"].startswith("flicker") for figure in found[0]) == bool(more)


def test_three_processes_look_inside_as_one_does(launch, tiny_config, tiny_run, tmp_path):
    found = []
    for count in (1, 3):
        page = tmp_path / f"{count}.html"
        options = ("--frames", 4, "--per-class", 20, "--points", 60, "--perplexity", 3, "--output", page)
        ended = launch(*[["segment", "features", tiny_config, "--run", tiny_run, *options, *HERE]] * count)
        assert ended.codes == [0] * count, ended.stderr
        assert ended.stdout.count("page: ") == 1
        record = json.loads(page.with_suffix(".json").read_text())
        found.append({name: record[name] for name in ("checkpoints", "domains", "perplexity", "identity")})
    assert found[0] == found[1] and found[0]["checkpoints"][0]["cells"]
