"""Evaluation by the field's protocol, every number worked out by hand; and when it is read back, when done again."""

import json
import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.data.frames import FrameSet
from pipelines.data.labels.encodings import camvid, cityscapes
from pipelines.data.readers.layout import Frame
from pipelines.errors import NoInputsError, UserError
from pipelines.runtimes.frame_prediction import open_predictor
from pipelines.stages.evaluation.evaluate import EvaluationOptions, evaluate, evaluate_checkpoint
from pipelines.stages.evaluation.evaluation_report import report_evaluation
from pipelines.stages.evaluation.scores import read_evaluation, read_prediction
from tests.pipelines.batch_inference.translating import in_a_process, killing
from tests.pipelines.stages.evaluation.scored import (
    BICYCLE,
    BUS,
    CAMVID_ID,
    CAR,
    CITYSCAPES_ID,
    LIGHT,
    RIDER,
    ROAD,
    SIGN,
    TRAIN,
    TRUCK,
    VOID,
    answering,
    frame_set,
    iou,
)

# --- numbers ------------------------------------------------------------------------------------------


def test_the_label_maps_themselves_score_one(tiny_run, make_workspace, tmp_path):
    sets = make_workspace(run=tiny_run).validation
    labels = {sets[0].read_image(i).tobytes(): sets[0].read_label_map(i) for i in range(len(sets[0]))}
    summary = evaluate(lambda image, size: labels[image.tobytes()], sets, tmp_path / "out", {}).summary()
    assert summary["mean_iou"] == summary["pixel_accuracy"] == summary["mean_accuracy"] == 1
    assert summary["mean_iou_16"] == summary["mean_iou_13"] == 1 and "merged_classes" not in summary
    assert summary["interval_95"] == [1, 1]
    assert set(summary["iou"].values()) - {None} == {1}


def test_one_wrong_pixel_worked_out_by_hand(tmp_path):
    """Road is right; of three car pixels one is taken for a truck; the void pixel does not count.

    IoU: road 4/4, car 2/3, truck 0/1 (seen, and not there). Mean (1 + 2/3 + 0) / 3; 6 of 7 pixels; recalls 1 and 2/3.
    """
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD] * 4, [CAR, CAR, CAR, VOID]])]
    evaluation = evaluate(answering([[ROAD] * 4, [CAR, CAR, TRUCK, TRUCK]]), sets, tmp_path / "out", {})
    assert iou(evaluation) == pytest.approx({ROAD: 1, CAR: 2 / 3, TRUCK: 0})
    summary = evaluation.summary()
    assert summary["mean_iou"] == pytest.approx(5 / 9)
    assert summary["mean_iou_16"] == pytest.approx(5 / 6)  # without the truck, which the 16 do not hold
    assert summary["pixel_accuracy"] == pytest.approx(6 / 7)
    assert summary["mean_accuracy"] == pytest.approx(5 / 6)
    assert evaluation.frame_scores() == pytest.approx([5 / 6])  # over the classes in the frame's labels
    assert summary["interval_95"] == [None, None]  # one image says nothing about others


def test_the_interval_is_over_drives(tmp_path):
    """Two frames of each of six drives: the summary says so, and what a former version wrote comes to say so."""
    drives = [f"{number // 2}" for number in range(12)]
    maps = [[[ROAD, CAR]]] * 12
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, *maps, drives=drives)]
    evaluation = evaluate(answering(*maps), sets, tmp_path / "out", {})
    assert evaluation.summary()["interval_over"] == "6 drives" and evaluation.drives[:3] == ["val/0", "val/0", "val/1"]
    counts = json.loads((tmp_path / "out/confusions.json").read_text())
    (tmp_path / "out/confusions.json").write_text(json.dumps({k: v for k, v in counts.items() if k != "drives"}))
    assert read_evaluation(tmp_path / "out").summary()["interval_over"] == "12 frames"
    (tmp_path / "out/evaluation.html").write_text("an interval over 12 frames")
    again = evaluate(answering(), sets, tmp_path / "out", {})  # predicts nothing anew
    assert again.drives == evaluation.drives == read_evaluation(tmp_path / "out").drives
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["interval_over"] == "6 drives"
    assert not (tmp_path / "out/evaluation.html").exists()


def test_a_page_does_not_outlive_the_figures_that_it_shows(tmp_path):
    """A comparison evaluates anew where frames or the network changed, and makes no page of it."""
    sets, output = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])], tmp_path / "out"
    page = output / "evaluation.html"
    report_evaluation(evaluate(answering([[ROAD, CAR]]), sets, output, {"a": 1}), output, "net", "val", [])
    evaluate(answering([[ROAD, CAR]]), sets, output, {"a": 1})  # reads back what is there
    assert page.exists()
    assert evaluate(answering([[ROAD, ROAD]]), sets, output, {"a": 2}).mean_iou() == 0.25
    assert not page.exists() and json.loads((output / "evaluation.json").read_text())["mean_iou"] == 0.25


def test_pixels_are_counted_over_the_whole_set_before_dividing(tmp_path):
    """Car: 1 of 1 in the first frame, 0 of 3 in the second. IoU 1/4 and not the mean of 1 and 0; road 4/7."""
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[CAR, ROAD]], [[CAR, CAR, CAR, ROAD, ROAD, ROAD]])]
    evaluation = evaluate(answering([[CAR, ROAD]], [[ROAD] * 6]), sets, tmp_path / "out", {})
    assert iou(evaluation) == pytest.approx({CAR: 1 / 4, ROAD: 4 / 7})
    assert evaluation.mean_iou() == pytest.approx((1 / 4 + 4 / 7) / 2)
    assert evaluation.frame_scores() == pytest.approx([1, (0 + 3 / 6) / 2])


def test_a_pixel_predicted_as_nothing_is_a_miss(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, ROAD, CAR, CAR]])]
    evaluation = evaluate(answering([[ROAD, VOID, CAR, CAR]]), sets, tmp_path / "out", {})
    assert iou(evaluation) == pytest.approx({ROAD: 1 / 2, CAR: 1})
    assert evaluation.summary()["pixel_accuracy"] == 0.75


def test_camvid_counts_bicycle_for_rider_light_for_sign_and_truck_for_car(tmp_path):
    """CamVid's Bicyclist is both, its SignSymbol and Car too: either answer is right, and each group counts once."""
    sets = [frame_set(tmp_path, camvid(), CAMVID_ID, [[ROAD, ROAD, SIGN, SIGN, BICYCLE, BICYCLE, CAR, CAR]])]
    evaluation = evaluate(
        answering([[ROAD, ROAD, LIGHT, SIGN, RIDER, BICYCLE, TRUCK, CAR]]), sets, tmp_path / "out", {}
    )
    assert iou(evaluation) == {ROAD: 1, LIGHT: 1, RIDER: 1, CAR: 1}
    assert evaluation.mean_iou() == 1
    assert evaluation.groups == [[LIGHT, SIGN], [RIDER, BICYCLE], [CAR, TRUCK, BUS]]
    summary = evaluation.summary()  # SYNTHIA's means are of labels that tell all 19 apart
    assert summary["mean_iou_16"] is summary["mean_iou_13"] is None
    assert summary["merged_classes"] == {
        "traffic light": ["traffic light", "traffic sign"],
        "rider": ["rider", "bicycle"],
        "car": ["car", "truck", "bus"],
    }


def test_classes_that_the_labels_cannot_express_are_misses_and_no_classes(tmp_path):
    """CamVid has no train: the car taken for one is missed (3/4), and no train enters the mean (1 + 3/4) / 2."""
    sets = [frame_set(tmp_path, camvid(), CAMVID_ID, [[ROAD, ROAD, CAR, CAR, CAR, CAR]])]
    evaluation = evaluate(answering([[ROAD, ROAD, CAR, CAR, CAR, TRAIN]]), sets, tmp_path / "out", {})
    assert iou(evaluation) == pytest.approx({ROAD: 1, CAR: 3 / 4})
    assert evaluation.mean_iou() == pytest.approx(7 / 8)
    assert TRAIN not in evaluation.labelled_ids and CAR in evaluation.labelled_ids


def test_a_frame_that_is_void_throughout_has_no_score(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[VOID, VOID]], [[ROAD, ROAD]])]
    evaluation = evaluate(answering([[ROAD, CAR]], [[ROAD, ROAD]]), sets, tmp_path / "out", {})
    first, second = evaluation.frame_scores()
    assert math.isnan(first) and second == 1
    assert evaluation.mean_iou() == 1


def test_logits_come_up_to_the_label_map(cpu):
    """The network sees the frame at its training height and answers at the labels' size."""

    class Flat(torch.nn.Module):
        def forward(self, image):
            self.seen = tuple(image.shape)
            return torch.nn.functional.one_hot(torch.full(image.shape[-2:], CAR), 19).permute(2, 0, 1)[None].float()

    network = Flat().eval()
    prediction = open_predictor(network, 16, cpu)(np.zeros((32, 48, 3), np.uint8), (64, 96))
    assert network.seen == (1, 3, 16, 24)
    assert prediction.shape == (64, 96) and prediction.dtype == np.uint8 and (prediction == CAR).all()


# --- several sets ------------------------------------------------------------------------------------------


def test_sets_are_scored_together_and_unlabelled_frames_passed_over(tmp_path):
    one = frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]], name="one")
    two = frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[CAR, CAR]], name="two")
    bare = FrameSet("bare", tmp_path, [Frame("0", one.frames[0].image)], [])
    evaluation = evaluate(answering([[ROAD, CAR]]), [one, bare], tmp_path / "out", {})
    assert evaluation.names == ["one/city/0"]
    evaluation = evaluate(answering([[CAR, CAR]]), [one, two], tmp_path / "both", {})
    assert evaluation.names == ["one/city/0", "two/city/0"]
    assert iou(evaluation) == pytest.approx({ROAD: 0, CAR: 3 / 4})


def test_without_labels_there_is_nothing_to_score(tmp_path):
    bare = FrameSet("bare", tmp_path, [Frame("0", tmp_path / "0.png")], [])
    with pytest.raises(NoInputsError, match="no validation frame has a label map: bare"):
        evaluate(answering(), [bare], tmp_path / "out", {})


# --- on disk ------------------------------------------------------------------------------------------


def test_predictions_and_counts_are_kept(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])]
    evaluation = evaluate(answering([[ROAD, TRUCK]]), sets, tmp_path / "out", {"checkpoint": "a"})
    assert read_prediction(tmp_path / "out", "val/city/0").tolist() == [[ROAD, TRUCK]]
    again = read_evaluation(tmp_path / "out")
    assert torch.equal(again.confusions, evaluation.confusions)
    assert (again.names, again.groups, again.labelled_ids) == (
        evaluation.names,
        evaluation.groups,
        evaluation.labelled_ids,
    )
    kept = json.loads((tmp_path / "out/evaluation.json").read_text())
    assert kept == {"identity": {"checkpoint": "a"}, **evaluation.summary()}


def test_read_back_when_nothing_changed_and_redone_when_the_identity_did(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])]
    assert evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {"checkpoint": "a"}).mean_iou() == 1
    assert evaluate(None, sets, tmp_path / "out", {"checkpoint": "a"}).mean_iou() == 1
    assert evaluate(answering([[CAR, CAR]]), sets, tmp_path / "out", {"checkpoint": "b"}).mean_iou() == 0.25
    assert read_prediction(tmp_path / "out", "val/city/0").tolist() == [[CAR, CAR]]


def test_an_evaluation_of_classes_that_are_scored_otherwise_now_is_not_read_back(tmp_path):
    """A truck that is seen as a car is wrong, and right where the labels cannot tell the two apart."""
    apart = frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, TRUCK]])
    one = replace(cityscapes(), merged=(frozenset({CAR, TRUCK}),))
    alike = replace(apart, frames=[replace(frame, encoding=one) for frame in apart.frames])
    seen = [[ROAD, CAR]]
    assert evaluate(answering(seen), [apart], tmp_path / "out", {"checkpoint": "a"}).mean_iou() == pytest.approx(1 / 3)
    assert evaluate(answering(seen), [alike], tmp_path / "out", {"checkpoint": "a"}).mean_iou() == 1


def test_counts_that_cannot_be_read_are_removed_as_told_and_made_again(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])]
    found = evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {})
    counts = tmp_path / "out" / "confusions.json"
    counts.write_bytes(counts.read_bytes()[:40])
    with pytest.raises(UserError, match=r"confusions.json cannot be read \(.*; remove it and run the command again"):
        evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {})
    counts.unlink()
    again = evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {})
    assert torch.equal(again.confusions, found.confusions) and counts.exists()


def test_an_evaluation_that_was_broken_off_is_not_read_back(tmp_path):
    """The predictions it left are partly those of the other checkpoint."""
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]], [[ROAD, CAR]])]
    evaluate(answering([[ROAD, CAR]], [[ROAD, CAR]]), sets, tmp_path / "out", {"checkpoint": "a"})
    with pytest.raises(IndexError):
        evaluate(answering([[CAR, CAR]]), sets, tmp_path / "out", {"checkpoint": "b"})
    evaluate(answering([[ROAD, CAR]], [[ROAD, CAR]]), sets, tmp_path / "out", {"checkpoint": "a"})
    assert read_prediction(tmp_path / "out", "val/city/0").tolist() == [[ROAD, CAR]]


def evaluated(folder):
    """Whose evaluation it is: two checkpoints of so short a training may see the same in every frame."""
    return json.loads((folder / "evaluation.json").read_text())["identity"]["checkpoint"]


def test_a_checkpoint_is_evaluated_once(copied_run, make_workspace, session, monkeypatch):
    workspace, run = make_workspace(run=copied_run), copied_run / "seed-0/oracle"
    written = (run / "evaluation/evaluation.json").stat().st_mtime_ns
    evaluate_checkpoint(workspace, run, session)
    assert (run / "evaluation/evaluation.json").stat().st_mtime_ns == written
    other, options = run / "checkpoints/step-00000002", EvaluationOptions(output=copied_run / "elsewhere")
    elsewhere = evaluate_checkpoint(workspace, other, session, options)
    assert evaluated(copied_run / "elsewhere") != evaluated(run / "evaluation")
    assert (run / "evaluation/evaluation.json").stat().st_mtime_ns == written
    evaluate_checkpoint(workspace, other, session)
    assert evaluated(run / "evaluation") == evaluated(copied_run / "elsewhere")
    assert torch.equal(read_evaluation(run / "evaluation").confusions, elsewhere.confusions)


def test_other_validation_frames_are_another_evaluation(copied_run, make_workspace, session):
    workspace = make_workspace("validation.0.frames=3", run=copied_run)
    assert len(evaluate_checkpoint(workspace, copied_run / "seed-0/oracle", session).names) == 3


def test_kept_predictions_give_the_kept_counts(tiny_run, make_workspace):
    frames = make_workspace(run=tiny_run).validation[0]
    folder = tiny_run / "seed-0/oracle/evaluation"
    evaluation = read_evaluation(folder)
    for index, name in enumerate(evaluation.names):
        truth, prediction = frames.read_label_map(index), read_prediction(folder, name)
        hits = [int(((truth == c) & (prediction == c)).sum()) for c in range(19)]
        assert evaluation.confusions[index].diagonal().tolist() == hits
        assert evaluation.confusions[index].sum() == (truth != VOID).sum()


def test_what_a_killed_evaluation_was_writing_is_swept_up(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])]

    def until_killed():
        os.replace = killing(os.replace, 1)
        evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {})

    assert in_a_process(until_killed) == signal.SIGKILL
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert sorted(path.suffix or path.name for path in left) == [".lock", ".part"]
    evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {})
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".part"]
