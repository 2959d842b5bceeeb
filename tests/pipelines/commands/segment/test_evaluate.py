"""`sim2real segment evaluate` as a person runs it: each option does what it says, each contradiction is one line."""

import json
import shutil

import numpy as np
import pytest

from pipelines.data.images import read_raw
from segment.classes import CLASS_NAMES
from tests.pipelines.certain import certain_segmenter

QUICK = ("--threads", 1, "--device", "cpu")


def evaluated(commands, tiny_config, run, *options, code=0):
    finished = commands("segment", "evaluate", tiny_config, "--run", run, *QUICK, *options)
    assert finished.code == code, finished.stderr
    assert "Traceback" not in finished.stderr
    return finished


def figures(folder):
    return json.loads((folder / "evaluation.json").read_text())


@pytest.fixture
def oracle(copied_run):
    return copied_run / "seed-0/oracle"


def test_a_checkpoint_by_default(commands, tiny_config, copied_run, oracle):
    before = figures(oracle / "evaluation")
    finished = evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle)
    assert finished.stdout.splitlines()[0].split() == ["IoU", "acc", "prec", "F1", "share"]
    assert "mIoU of the 16" in finished.stdout and "4 frames" in finished.stdout
    assert figures(oracle / "evaluation") == before  # that of the comparison, read back
    assert (oracle / "evaluation/evaluation.html").exists()
    assert len((oracle / "evaluation/frames.csv").read_text().splitlines()) == 5


def test_test_frames_leave_the_evaluation_on_validation_as_it_is(commands, tiny_config, copied_run, oracle):
    before = figures(oracle / "evaluation")
    root = tiny_config.parent / "frames/camera"
    test = f'[{{ reader = "cityscapes", name = "last", root = "{root}", first = 3 }}]'
    finished = evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, "--test", "--set", f"test={test}")
    assert "3 frames" in finished.stdout
    assert figures(oracle / "evaluation_test")["frames"] == 3 and figures(oracle / "evaluation") == before
    assert "last" in (oracle / "evaluation_test/evaluation.html").read_text()


def test_all_looks_and_measures(commands, tiny_config, copied_run, oracle):
    options = ("--flip", "--scales", "0.5,1", "--window", "32x16", "--stride", "16x16", "--boundary", "--calibration")
    finished = evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, *options)
    folder = oracle / "evaluation_flip_scales-0.5-1_window-32x16-stride-16x16"
    assert {"boundary_iou", "calibration"} < set(figures(folder))
    assert figures(folder)["identity"]["looks"] == "flip_scales-0.5-1_window-32x16-stride-16x16"
    assert "boundary IoU" in finished.stdout and "Brier score" in finished.stdout
    assert "How far its confidence can be believed" in (folder / "evaluation.html").read_text("utf-8")
    assert (oracle / "evaluation/evaluation.json").exists()


@pytest.mark.parametrize("options", [("--runtime", "torch"), ("--runtime", "torch", "--fast")])
def test_another_runtime_has_a_folder_of_its_own(commands, tiny_config, copied_run, oracle, options):
    """...and finds the same but for rounding; the exact evaluation, which reports use, is left alone."""
    exact = figures(oracle / "evaluation")
    evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, *options)
    (folder,) = oracle.glob("evaluation_torch*")  # "-fast" where bf16 pays
    found = figures(folder)
    assert found["identity"]["runtime"] == "torch" and found["identity"]["mode"] in ("exact", "fast")
    assert found["pixel_accuracy"] == pytest.approx(exact["pixel_accuracy"], abs=0.1)
    assert figures(oracle / "evaluation") == exact
    assert "Computed by" in (folder / "evaluation.html").read_text("utf-8")


def test_through_a_translator_with_looks(commands, tiny_config, copied_run, oracle):
    options = (
        "--through",
        copied_run / "seed-0/translator",
        "--direction",
        "source_to_target",
        "--flip",
        "--calibration",
    )
    finished = evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, *options)
    assert finished.stdout.splitlines()[0].split() == ["alone", "through", "change"]
    (folder,) = (oracle / "evaluation_through").iterdir()
    assert folder.name.endswith("_flip") and "calibration" in figures(folder)


def test_several_checkpoints_are_evaluated_as_one(commands, tiny_config, copied_run, oracle, tmp_path):
    """The second takes everything for road, of which there is much more than the first finds of anything."""
    pair = ("--checkpoint", oracle, "--checkpoint", certain_segmenter(tmp_path, CLASS_NAMES.index("road")))
    evaluated(commands, tiny_config, copied_run, *pair, "--weights", "3,1", "--output", tmp_path / "mean")
    evaluated(commands, tiny_config, copied_run, *pair, "--weights", "1e6,1e-6", "--output", tmp_path / "first")
    alone, first = figures(oracle / "evaluation"), figures(tmp_path / "first")
    assert first["mean_iou"] == pytest.approx(alone["mean_iou"], abs=1e-3), "the other's word has no weight"
    evaluated(commands, tiny_config, copied_run, *pair, "--weights", "1e-6,1e6", "--output", tmp_path / "second")
    assert figures(tmp_path / "second")["mean_iou"] > alone["mean_iou"] + 0.01
    assert figures(tmp_path / "mean")["identity"]["checkpoint"] != first["identity"]["checkpoint"]
    options = (*pair, "--flip", "--fast", "--runtime", "torch", "--output", tmp_path / "fast")
    evaluated(commands, tiny_config, copied_run, *options, "--submission", tmp_path / "sent")
    assert len(list((tmp_path / "sent").iterdir())) == 4


def test_a_submission(commands, tiny_config, copied_run, oracle, tmp_path):
    finished = evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, "--submission", tmp_path / "sent")
    assert f"4 files in {tmp_path / 'sent'}" in finished.stdout
    names = sorted(path.name for path in (tmp_path / "sent").iterdir())
    assert names[0] == "toyworld_000000_000019_pred_labelIds.png" and len(names) == 4
    assert np.isin(read_raw(tmp_path / "sent" / names[0]), [7, 8, *range(11, 34)]).all()


def test_its_predictions_score_the_same_from_disk(commands, tiny_config, copied_run, oracle, tmp_path):
    expected = figures(oracle / "evaluation")
    evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, "--submission", tmp_path / "sent")
    for folder, ids in ((tmp_path / "sent", "label_ids"), (oracle / "evaluation/predictions", "train_ids")):
        output = tmp_path / ids
        options = ("--predictions", folder, "--predicted", ids, "--output", output, "--workers", 1)
        evaluated(commands, tiny_config, copied_run, *options)
        assert {**figures(output), "identity": None} == {**expected, "identity": None}
        assert (output / "evaluation.html").exists()


def test_a_folder_of_predictions_is_left_as_it_is(commands, tiny_config, tmp_path):
    """It may be another tool's, or on a disk that is read alone; two folders of one name do not share an evaluation."""
    mine, others, run = tmp_path / "mine/out", tmp_path / "others/out", tmp_path / "run"
    mine.mkdir(parents=True)
    for labels in (tiny_config.parent / "frames/camera_val").rglob(
        "*_labelIds.png"
    ):  # who predicts these is never wrong
        shutil.copy(labels, mine)
    shutil.copytree(mine, others)
    before = {path: path.stat().st_mtime_ns for path in (mine, *mine.rglob("*"))}
    options = ("--predicted", "label_ids", "--workers", 0)
    finished = evaluated(commands, tiny_config, run, "--predictions", mine, *options)
    assert finished.stdout.endswith(f"figures and page in {run / 'evaluation/out'}\n")
    assert {path: path.stat().st_mtime_ns for path in (mine, *mine.rglob("*"))} == before
    assert figures(run / "evaluation/out")["mean_iou"] == 1
    refused = evaluated(commands, tiny_config, run, "--predictions", others, *options, code=2)
    assert f"is the evaluation of {mine}; say with --output where to keep that of {others}" in refused.stderr


def test_two_evaluations_and_two_checkpoints(commands, tiny_config, copied_run, oracle, tmp_path):
    other = copied_run / "seed-0/source_only"
    pair = ("--compare", oracle / "evaluation", other / "evaluation")
    finished = evaluated(commands, tiny_config, copied_run, *pair, "--output", tmp_path / "out")
    assert "A - B" in finished.stdout and "95 % of A - B" in finished.stdout and "mIoU" in finished.stdout
    kept = json.loads((tmp_path / "out/comparison.json").read_text())
    expected = figures(oracle / "evaluation")["mean_iou"] - figures(other / "evaluation")["mean_iou"]
    assert kept["iou"]["mIoU"]["difference"] == pytest.approx(expected)
    again = evaluated(commands, tiny_config, copied_run, "--compare", oracle, other)
    assert again.stdout.splitlines()[2:] == finished.stdout.splitlines()[2:]


@pytest.mark.parametrize(
    "options",
    [("--flip",), ("--scales", "0.5,1"), ("--window", "8"), ("--runtime", "torch"), ("--fast",), ("--boundary",),
     ("--calibration",)],
)  # fmt: skip
def test_an_evaluation_that_is_made_already_hears_of_no_option(commands, tiny_config, tmp_path, options):
    """Else two evaluations without mirror images would be taken for two with them."""
    stored = tmp_path / "stored"
    stored.mkdir()
    (stored / "evaluation.json").touch()
    finished = evaluated(commands, tiny_config, tmp_path, "--compare", "a", stored, *options, code=2)
    assert f"{options[0]}: --compare {stored} is an evaluation that is made already; name its" in finished.stderr


def test_two_evaluations_that_are_made_already_are_of_the_frames_that_they_are_of(commands, tiny_config, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "evaluation.json").touch()
    test = f'test=[{{ reader = "cityscapes", name = "last", root = "{tiny_config.parent / "frames/camera"}" }}]'
    options = ("--compare", tmp_path / "a", tmp_path / "b", "--test", "--set", test)
    finished = evaluated(commands, tiny_config, tmp_path, *options, code=2)
    assert f"--test: --compare {tmp_path / 'a'} is an evaluation that is made already" in finished.stderr


def test_frames_without_labels_are_submitted_and_not_scored(commands, tiny_config, copied_run, oracle, tmp_path):
    images = f'validation=[{{ reader = "cityscapes", root = "{tiny_config.parent / "frames/camera"}", labels = "" }}]'
    options = ("--checkpoint", oracle, "--submission", tmp_path / "sent", "--set", images)
    refused = evaluated(commands, tiny_config, copied_run, *options, "--boundary", "--output", tmp_path / "x", code=2)
    assert "--boundary and --output: these frames have no labels to be scored by" in refused.stderr
    finished = evaluated(commands, tiny_config, copied_run, *options)
    assert finished.stdout == f"4 files in {tmp_path / 'sent'}\n"


def test_evaluations_of_other_frames_are_refused(commands, tiny_config, copied_run, oracle, tmp_path):
    fewer = ("--set", "validation.0.frames=3", "--output", tmp_path / "three")
    evaluated(commands, tiny_config, copied_run, "--checkpoint", oracle, *fewer)
    pair = ("--compare", oracle / "evaluation", tmp_path / "three")
    assert "different frames" in evaluated(commands, tiny_config, copied_run, *pair, code=2).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "expected one of --checkpoint, --predictions and --compare"),
        (("--checkpoint", "a", "--predictions", "b"), "expected one of --checkpoint, --predictions and --compare"),
        (("--predictions", "b", "--flip"), "--flip, --scales and --window are ways to use a network"),
        (("--predictions", "b", "--calibration"), "--calibration needs --checkpoint"),
        (("--predictions", "b", "--submission", "c"), "--submission needs --checkpoint"),
        (("--compare", "a", "b", "--through", "c"), "--through needs --checkpoint"),
        (("--checkpoint", "a", "--through", "b", "--submission", "c"), "--submission and --through contradict"),
        (("--checkpoint", "a", "--stride", "4"), "--stride needs --window"),
        (("--checkpoint", "a", "--scales", "1,x"), "expected numbers above 0"),
        (("--checkpoint", "a", "--scales", "0"), "expected numbers above 0"),
        (("--checkpoint", "a", "--scales", "0.5,75"), "--scales 75 is out of bounds; 4 is the largest"),
        (("--checkpoint", "a", "--window", "4x"), "expected WIDTHxHEIGHT"),
        (("--predictions", "nowhere"), "--predictions nowhere: no such folder"),
        (("--checkpoint", "a", "--checkpoint", "b"), "--output: say where to keep the evaluation of several"),
        (("--checkpoint", "a", "--weights", "1,2"), "--weights holds 2 for 1 --checkpoint; give one for each"),
        (("--checkpoint", "a", "--checkpoint", "b", "--weights", "1"), "--weights holds 1 for 2 --checkpoint"),
        (("--checkpoint", "a", "--weights", "0,1"), "are no weights; expected numbers above 0, such as 0.7,0.3"),
        (("--checkpoint", "a", "--checkpoint", "b", "--through", "c"), "--through takes one --checkpoint"),
        (("--compare", "nowhere", "nowhere"), "--compare nowhere does not exist"),
        (("--checkpoint", "a", "--predicted", "label_ids"), "--predicted label_ids needs --predictions; leave it out"),
        (("--compare", "a", "b", "--workers", "0"), "--workers 0 needs --predictions; leave it out"),
        (("--checkpoint", "a", "--direction", "target_to_source"), "--direction target_to_source needs --through: a"),
    ],
)
def test_contradictions_are_one_line(commands, tiny_config, tmp_path, options, message):
    finished = evaluated(commands, tiny_config, tmp_path, *options, code=2)
    assert message in finished.stderr and finished.stderr.strip().splitlines()[-1].count("\n") == 0


@pytest.mark.parametrize(
    "options", [("--checkpoint", "nowhere", "--submission"), ("--compare", "nowhere", "nowhere", "--output")]
)
def test_an_output_that_could_not_be_written_is_refused_before_the_work(commands, tiny_config, tmp_path, options):
    """So it is told of checkpoints that are not there, too."""
    (tmp_path / "notes.txt").touch()
    finished = evaluated(commands, tiny_config, tmp_path, *options, tmp_path / "notes.txt/out", code=6)
    assert "notes.txt/out: cannot write: Not a directory" in finished.stderr


def test_a_stride_larger_than_its_window(commands, tiny_config, copied_run, oracle):
    options = ("--checkpoint", oracle, "--window", "8", "--stride", "9")
    finished = evaluated(commands, tiny_config, copied_run, *options, code=2)
    assert "no gaps" in finished.stderr


def test_help_names_every_option(commands):
    finished = commands("segment", "evaluate", "--help")
    for option in ("--flip", "--scales", "--window", "--stride", "--boundary", "--calibration", "--submission",
                   "--compare", "--predictions", "--predicted", "--through", "--direction", "--workers",
                   "--weights"):  # fmt: skip
        assert option in finished.stdout
