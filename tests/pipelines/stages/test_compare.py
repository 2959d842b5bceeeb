"""The comparison: three arms under one budget, results that equal their evaluations, and nothing done twice."""

import json

import pytest
import torch

from pipelines.engine.launch import Machine
from pipelines.errors import NoInputsError
from pipelines.report.study import ARMS, Study
from pipelines.stages.compare import compare, network_facts
from pipelines.stages.evaluate import read_evaluation
from pipelines.workspace import Workspace
from segment.classes import CLASS_NAMES
from segment.metrics import gap_closed

FOLDERS = {"source_only": "source_only", "translated": "translated_net", "oracle": "oracle"}


@pytest.fixture(scope="module")
def study(tiny_run):
    return Study.from_json((tiny_run / "results.json").read_text())


@pytest.mark.parametrize("arm", ARMS)
def test_results_equal_the_evaluation(study, tiny_run, arm):
    result = study.result(arm, 0)
    evaluation = read_evaluation(tiny_run / "seed-0" / FOLDERS[arm] / "evaluation")
    summary = json.loads((tiny_run / "seed-0" / FOLDERS[arm] / "evaluation/evaluation.json").read_text())
    assert result.mean_iou == summary["mean_iou"] == evaluation.mean_iou()
    assert [result.mean_iou_16, result.mean_iou_13] == [summary["mean_iou_16"], summary["mean_iou_13"]]
    assert list(result.interval) == summary["interval_95"]
    assert result.pixel_accuracy == summary["pixel_accuracy"]
    assert result.iou == [summary["iou"][name] for name in CLASS_NAMES]
    assert result.confusion == evaluation.confusions.sum(0).tolist()
    assert [frame.name for frame in result.frames] == evaluation.names
    assert [step for step, _ in result.curve] == [3]
    assert result.training_seconds > 0


def test_the_gap_equals_the_metric(study):
    scores = [study.result(arm, 0).mean_iou for arm in ARMS]
    gap = gap_closed(*scores)
    assert study.gap_mean() == (pytest.approx(gap) if gap == gap else None)


def test_the_study_says_how_it_came_about(study, make_workspace):
    assert study.command.startswith("sim2real compare ") and "--workers 0" in study.command
    assert study.settings == json.loads(json.dumps(make_workspace().experiment.model_dump(mode="json")))
    assert study.validation == "camera_val (4 frames)"
    assert study.network.input_size == "64x32" and study.network.parameters == 360_139
    assert "one translator per seed" in study.notes[0] and "4 steps" in study.notes[0]
    assert "can express 19 classes" in study.notes[-1] and "mIoU 13 over 13 of them" in study.notes[-1]


def test_the_speed_names_the_precision_that_was_timed(make_workspace, cpu):
    machine = Machine(torch.device("cpu"), "bf16")
    assert network_facts(make_workspace(), machine).device.endswith("fp32")


def test_the_report_holds_every_arm_and_no_address(tiny_run, study):
    page = (tiny_run / "report.html").read_text()
    assert all(
        f"{100 * study.result(arm, 0).mean_iou:.1f}" in page or f"{study.result(arm, 0).mean_iou:.3f}" in page
        for arm in ARMS
    )
    assert page.count("data:image/") >= 8
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def made(run):
    """Everything that training and evaluating write, with its time."""
    return {
        path: path.stat().st_mtime_ns for path in (run / "seed-0").rglob("*") if path.is_file() and path.name != ".lock"
    }


def test_a_second_call_trains_and_evaluates_nothing(copied_run, make_workspace, cpu):
    before = made(copied_run)
    study = compare(make_workspace(run=copied_run), cpu, 0, "sim2real compare")
    assert made(copied_run) == before
    former = Study.from_json((copied_run / "results.json").read_text())
    assert [result.mean_iou for result in study.results] == [result.mean_iou for result in former.results]


def test_only_what_changed_is_done_again(copied_run, make_workspace, cpu):
    before = made(copied_run)
    workspace = make_workspace(
        "segmenter.shares.translated=0.5", "segmenter.shares.source=0.5", "segmenter.steps=3", run=copied_run
    )
    compare(workspace, cpu, 0, "sim2real compare", restart=True)
    after = made(copied_run)
    arms = {path.relative_to(copied_run / "seed-0").parts[0] for path in before if after.get(path) != before[path]}
    assert arms == {"translated_net"}
    assert (copied_run / "seed-0/translated_net.replaced-1/final.json").exists()


def test_missing_labels_are_noticed_before_training(make_workspace, tmp_path, cpu):
    experiment = make_workspace().experiment
    images = f"{experiment.target[0].root}/leftImg8bit"
    bare = {"reader": "folder", "name": "bare", "root": images, "images": "train/toyworld/{name}.png"}
    for part, message in (("target", "the oracle has nothing to learn from"), ("validation", "nothing to evaluate on")):
        content = experiment.model_dump(mode="json") | {part: [bare]}
        workspace = Workspace(type(experiment).model_validate(content), tmp_path, tmp_path / "run")
        with pytest.raises(NoInputsError, match=message):
            compare(workspace, cpu, 0, "sim2real compare")
        assert not (tmp_path / "run/seed-0").exists()
