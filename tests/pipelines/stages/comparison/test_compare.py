"""The comparison: three arms under one budget, results that equal their evaluations, and nothing done twice."""

import json
import re

import pytest
import torch

from pipelines.engine.launch import Machine
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.arms import COMPARED
from pipelines.experiment.workspace import Workspace
from pipelines.report.figures import amount, percent
from pipelines.report.study import Study
from pipelines.stages.comparison import compare as comparing
from pipelines.stages.comparison.compare import compare, network_facts
from pipelines.stages.evaluation.scores import read_evaluation
from segment.classes import CLASS_NAMES
from segment.complexity import Latency, count_flops
from segment.metrics.regions import gap_closed
from tests.pipelines.stages.features.test_feature_embedding import drawn

FOLDERS = {"source_only": "source_only", "translated": "translated_net", "oracle": "oracle"}


@pytest.fixture(scope="module")
def study(tiny_run):
    return Study.from_json((tiny_run / "results.json").read_text())


@pytest.mark.parametrize("arm", COMPARED)
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


def test_a_style_encoder_is_missed_before_anything_is_trained(make_workspace, cpu, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    workspace = make_workspace('translator={method = "adain"}')
    with pytest.raises(UserError, match=r"no VGG-19 weights in .*translator\.encoder = \"efficientnet_lite0\""):
        compare(workspace, Session(cpu, command="sim2real compare tiny.toml"))
    assert not list(workspace.run.rglob("config.json"))


def test_a_comparison_of_adaptation_needs_no_translator_and_says_what_adapted(make_workspace, cpu):
    # So small a network diverges in bf16, which some processors train in; here it does not matter what it learns.
    settings = ("segmenter.shares.translated=0", "segmenter.shares.source=1", "segmenter.learning_rate=1e-6")
    workspace = make_workspace(*settings, 'segmenter.adaptation={method = "dacs", threshold = 0.5, feature_norm = {}}')
    study = compare(workspace, Session(cpu, command="sim2real compare tiny.toml"))
    assert not workspace.translator(0).exists() and [result.arm for result in study.results] == list(COMPARED)
    assert study.titles()["translated"] == "DACS + feature norm"
    assert "threshold 0.5" in study.notes[0] and "feature norm's weight 0.00015" in study.notes[0]
    page = (workspace.run / "report.html").read_text("utf-8")
    assert (
        "Adaptation by DACS + feature norm" in page
        and ">DACS + feature norm<" in page
        and "Translation helped" not in page
    )


def test_the_gap_equals_the_metric(study):
    scores = [study.result(arm, 0).mean_iou for arm in COMPARED]
    gap = gap_closed(*scores)
    assert study.gap_mean() == (pytest.approx(gap) if gap == gap else None)


def test_the_study_says_how_it_came_about(study, make_workspace):
    assert study.command.startswith("sim2real compare ") and "--workers 0" in study.command
    assert study.settings == json.loads(json.dumps(make_workspace().experiment.model_dump(mode="json")))
    assert study.validation == "camera_val (4 frames)"
    assert study.network.input_size == "64x32" and study.network.parameters == 360_139
    assert "one translator per seed" in study.notes[0] and "4 steps" in study.notes[0]
    said = study.notes[-1]
    assert said.startswith("The labels can express 19 classes, of which the validation frames show ")
    assert "Mean IoU is over those that are shown or predicted (mIoU 16 over at most 16, mIoU 13 over at most" in said
    shown = sum(any(row) for row in study.result("oracle", 0).confusion)
    assert f" frames show {shown}. " in said


def test_the_speed_names_the_precision_that_was_timed(make_workspace, cpu):
    machine = Machine(torch.device("cpu"), "bf16")
    assert network_facts(make_workspace(), machine).device.endswith("fp32")


@pytest.mark.parametrize("chosen", ['network="deeplabv2_resnet101_four_branches"', 'network="deeplabv2_resnet101"'])
def test_size_and_speed_are_those_of_the_network_as_configured(make_workspace, cpu, monkeypatch, chosen):
    """Two more branches are two more 3x3 convolutions from 2048 channels to 19 classes, at 9x5 places of 65x33."""
    timed = []

    def of_no_time(network, size, device):
        timed.append(count_flops(network, size))
        return Latency(1.0, 1.0, 1, "cpu", 1, "float32", size)

    monkeypatch.setattr(comparing, "measure_latency", of_no_time)
    branches = ["segmenter.aspp_branches=4"] if chosen.endswith('101"') else []  # as a config of before said it
    facts = network_facts(make_workspace(f"segmenter.{chosen}", *branches), cpu)
    two = network_facts(make_workspace('segmenter.network="deeplabv2_resnet101"'), cpu)
    assert facts.gflops - two.gflops == pytest.approx(2 * 2 * 2048 * 9 * 19 * (9 * 5) / 1e9)
    assert timed == pytest.approx([facts.gflops * 1e9, two.gflops * 1e9])
    assert facts.name == "network deeplabv2_resnet101_four_branches"


def test_the_report_holds_every_arm_and_no_address(tiny_run, study):
    page = (tiny_run / "report.html").read_text()
    assert all(
        f"{100 * study.result(arm, 0).mean_iou:.1f}" in page or f"{study.result(arm, 0).mean_iou:.3f}" in page
        for arm in COMPARED
    )
    assert page.count("data:image/") >= 8
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page


def features_section(run):
    """The text of the report's section on features; None where it has none."""
    section = re.search(r'<section id="features">.*?</section>', (run / "report.html").read_text(), re.DOTALL)
    return section and section[0]


def test_the_report_looks_inside(tiny_run):
    section = features_section(tiny_run)
    looked = json.loads((tiny_run / "features.json").read_text())
    assert [one["title"] for one in looked["checkpoints"]] == ["Source-only", "Translated", "Oracle"]
    assert section.count("<figure>") == 2 * len(COMPARED), "t-SNE and principal components of every arm"
    for one in looked["checkpoints"]:
        assert section.count(f"<bdi>{one['title']}</bdi>") == 4, "two pictures, two tables"
        for pair in one["pairs"]:
            assert f">{amount(pair['centroid_distance'], 2)}</td>" in section
            assert f">{percent(pair['probe_accuracy'])}</td>" in section
    assert (tiny_run / "features.html").exists() and 'href="#features"' in (tiny_run / "report.html").read_text()


def test_too_few_cells_are_a_note_and_no_failure(copied_run, make_workspace, cpu, monkeypatch):
    def one_cell_each(network, height, places, *others):
        return drawn({0: 1}) if places[0][0].name == "camera_val" else drawn({0: 1}, seed=1)

    monkeypatch.setattr("pipelines.stages.features.feature_study.class_features", one_cell_each)
    (copied_run / "features.json").unlink()
    study = compare(make_workspace(run=copied_run), Session(cpu, command="sim2real compare"))
    assert study.notes[-1].startswith(
        "Features by class and domain are not shown; `sim2real segment features` says: only"
    )
    assert features_section(copied_run) is None and not (copied_run / "features.json").exists()


def made(run):
    """Everything that training, evaluating and looking inside write, with its time."""
    written = [*(run / "seed-0").rglob("*"), *run.glob("features.*")]
    return {path: path.stat().st_mtime_ns for path in written if path.is_file() and path.name != ".lock"}


def test_a_second_call_trains_evaluates_and_looks_at_nothing(copied_run, tiny_run, make_workspace, cpu):
    before = made(copied_run)
    study = compare(make_workspace(run=copied_run), Session(cpu, command="sim2real compare"))
    assert made(copied_run) == before
    former = Study.from_json((copied_run / "results.json").read_text())
    assert [result.mean_iou for result in study.results] == [result.mean_iou for result in former.results]
    assert features_section(copied_run) == features_section(tiny_run)


def test_only_what_changed_is_done_again(copied_run, make_workspace, cpu):
    before = made(copied_run)
    workspace = make_workspace(
        "segmenter.shares.translated=0.5", "segmenter.shares.source=0.5", "segmenter.steps=3", run=copied_run
    )
    compare(workspace, Session(cpu, restart=True, command="sim2real compare"))
    after = made(copied_run)
    changed = {path.relative_to(copied_run).parts[:2] for path in before if after.get(path) != before[path]}
    assert changed == {("seed-0", "translated_net"), ("features.json",), ("features.html",)}
    assert (copied_run / "seed-0/translated_net.replaced-1/final.json").exists()


def test_missing_labels_are_noticed_before_training(make_workspace, tmp_path, cpu):
    experiment = make_workspace().experiment
    images = f"{experiment.target[0].root}/leftImg8bit"
    bare = {"reader": "folder", "name": "bare", "root": images, "images": "train/toyworld/{name}.png"}
    for part, message in (("target", "the oracle has nothing to learn from"), ("validation", "nothing to evaluate on")):
        content = experiment.model_dump(mode="json") | {part: [bare]}
        workspace = Workspace(type(experiment).model_validate(content), tmp_path, tmp_path / "run")
        with pytest.raises(NoInputsError, match=message):
            compare(workspace, Session(cpu, command="sim2real compare"))
        assert not (tmp_path / "run/seed-0").exists()


def test_a_teacher_that_is_not_there_is_noticed_before_training(make_workspace, tmp_path, session):
    workspace = make_workspace('translator={ method = "student", teacher = "nowhere" }')
    with pytest.raises(UserError, match=r"^translator\.teacher: nowhere is not there"):
        compare(workspace, session)
    assert not (tmp_path / "run/seed-0").exists()


def test_a_method_that_does_not_fit_the_network_is_noticed_before_training(make_workspace, tmp_path, session):
    method = 'segmenter.adaptation={ method = "minent", auxiliary_entropy_weight = 0.1 }'
    workspace = make_workspace(method, "segmenter.network=lraspp")
    with pytest.raises(UserError, match=r"^segmenter: minent and lraspp: .*the network has no auxiliary head; set"):
        compare(workspace, session)
    assert not (tmp_path / "run/seed-0").exists()
