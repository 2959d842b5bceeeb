"""Figures beside the IoU, and the files of an evaluation: what is written is read back as it was."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.data.images import encode_png
from pipelines.data.labels.encodings import camvid, cityscapes
from pipelines.errors import ImageError
from pipelines.runtimes.frame_prediction import Inference, TestTimeAugmentation, open_predictor
from pipelines.stages.evaluation.evaluate import evaluate
from pipelines.stages.evaluation.evaluation_counts import Measures
from pipelines.stages.evaluation.evaluation_table import format_summary, means
from pipelines.stages.evaluation.scores import Evaluation, read_evaluation
from segment.classes import CLASS_NAMES
from segment.inference import Flipped, MultiScale, Windowed
from segment.metrics.calibration import BINS
from segment.metrics.regions import confusion_matrix
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
    TRUCK,
    VOID,
    Certain,
    answering,
    both_measured,
    frame_set,
)

# --- figures ------------------------------------------------------------------------------------------


def test_all_figures_of_one_wrong_pixel(tmp_path):
    """Four road pixels right; of three car pixels one is a truck: categories are flat and vehicle, both right."""
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD] * 4, [CAR, CAR, CAR, VOID]])]
    summary = evaluate(answering([[ROAD] * 4, [CAR, CAR, TRUCK, TRUCK]]), sets, tmp_path / "out", {}).summary()
    assert summary["frames"] == 1
    assert summary["accuracy"]["car"] == pytest.approx(2 / 3) and summary["accuracy"]["truck"] is None
    assert summary["precision"]["car"] == 1 and summary["precision"]["truck"] == 0
    assert summary["f1"]["car"] == pytest.approx(0.8)
    assert summary["share_of_pixels"]["road"] == pytest.approx(4 / 7)
    assert summary["frequency_weighted_iou"] == pytest.approx(4 / 7 * 1 + 3 / 7 * 2 / 3)
    assert summary["category_iou"]["categories"]["vehicle"] == 1 and summary["category_iou"]["mean"] == 1
    assert summary["category_iou"]["categories"]["sky"] is None
    assert not {"instance_iou", "boundary_iou", "calibration"} & set(summary)


def test_camvid_has_no_categories(tmp_path):
    """CamVid's bicyclists are human and vehicle at once."""
    sets = [frame_set(tmp_path, camvid(), CAMVID_ID, [[ROAD, BICYCLE]])]
    evaluation = evaluate(answering([[ROAD, RIDER]]), sets, tmp_path / "out", {})
    assert evaluation.category_iou() == {} and "category_iou" not in evaluation.summary()
    assert evaluation.title(LIGHT) == "traffic light + traffic sign" and evaluation.title(ROAD) == "road"


def test_groups_within_a_category_leave_the_categories_there():
    """Two pixels, a car and a bus that count as one class, one of them taken for a truck: a vehicle all the same."""
    counts = confusion_matrix(torch.tensor([[CAR, BUS]]), torch.tensor([[CAR, TRUCK]]))[None]
    evaluation = Evaluation(["a"], counts, [[CAR, BUS]], list(range(19)))
    assert evaluation.category_iou()["vehicle"] == 1


def test_a_frame_is_scored_in_the_classes_of_its_labels():
    """Two pixels of road, one seen as a car: half of road is found, and cars are none of this frame's classes."""
    counts = confusion_matrix(torch.tensor([[ROAD, ROAD]]), torch.tensor([[ROAD, CAR]]))[None]
    assert Evaluation(["a"], counts, [], list(range(19))).frame_scores() == [0.5]


def test_intervals_draw_drives_where_they_are_known():
    counts = torch.zeros(12, 19, 20, dtype=torch.int64)
    evaluation = Evaluation([f"{i}" for i in range(12)], counts, [], list(range(19)))
    assert evaluation.units.title == "12 frames"
    assert replace(evaluation, drives=[f"{i // 2}" for i in range(12)]).units.title == "6 drives"


def test_calibration_by_hand(tmp_path, cpu):
    """Sure by 0.9 four times and right three times; the boundary of so small a frame is all of it."""
    summary = both_measured(tmp_path, cpu).summary()
    assert summary["calibration"]["expected_calibration_error"] == pytest.approx(0.15)
    bins = summary["calibration"]["bins"]
    assert [one["pixels"] for one in bins] == [0] * (BINS - 2) + [4, 0]
    assert [one["up_to"] for one in bins] == pytest.approx([(place + 1) / 15 for place in range(15)])
    assert bins[-2]["confidence"] == pytest.approx(0.9) and bins[-2]["accuracy"] == 0.75
    assert bins[-1]["confidence"] is bins[-1]["accuracy"] is None
    assert summary["boundary_iou"]["ratio"] == 0.005
    assert summary["boundary_iou"]["classes"]["road"] == summary["iou"]["road"] == 0.75


def test_boundaries_count_groups_as_one_class_and_their_general_width(tmp_path):
    sets = [frame_set(tmp_path, camvid(), CAMVID_ID, [[SIGN, SIGN, ROAD]])]
    evaluation = evaluate(answering([[LIGHT, SIGN, ROAD]]), sets, tmp_path / "out", {}, Measures(boundary=True))
    assert evaluation.summary()["boundary_iou"]["ratio"] == 0.02
    assert evaluation.summary()["boundary_iou"]["classes"]["traffic light"] == 1


def test_instances_of_cityscapes_are_weighed(tmp_path):
    """Cars of 1 and 3 pixels, the small one missed: of weight 2 half is a hit, and nothing a false alarm."""
    frames = frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[CAR, CAR, CAR, CAR]])
    label = frames.frames[0].label
    named = label.rename(label.with_name("a_gtFine_labelIds.png"))
    instances = label.with_name("a_gtFine_instanceIds.png")
    instances.write_bytes(encode_png(np.array([[26000, 26001, 26001, 26001]], np.uint16)))
    object.__setattr__(frames.frames[0], "label", named)
    sets = [frames]
    evaluation = evaluate(answering([[ROAD, CAR, CAR, CAR]]), sets, tmp_path / "out", {})
    assert evaluation.summary()["instance_iou"]["classes"]["car"] == pytest.approx(0.5)
    assert evaluation.summary()["iou"]["car"] == 0.75
    assert ("iIoU of classes", pytest.approx(0.5)) in means(evaluation.summary())
    assert "iIoU" in format_summary(evaluation).splitlines()[0]
    assert torch.equal(read_evaluation(tmp_path / "out").instances, evaluation.instances)
    instances.write_bytes(encode_png(np.array([[26000, 26001]], np.uint16)))  # and so it is not read back
    with pytest.raises(ImageError, match="instanceIds"):
        evaluate(answering([[ROAD, CAR, CAR, CAR]]), sets, tmp_path / "out", {})


# --- on disk ------------------------------------------------------------------------------------------


def test_what_is_written_is_read_back(tmp_path, cpu):
    evaluation = both_measured(tmp_path, cpu)
    again = read_evaluation(tmp_path / "out")
    assert again.summary() == evaluation.summary()
    assert torch.equal(again.boundaries, evaluation.boundaries) and again.boundary_ratio == 0.005
    assert json.loads((tmp_path / "out/evaluation.json").read_text()) == {"identity": {"a": 1}, **again.summary()}


def test_evaluations_of_former_versions_are_still_read(tmp_path):
    counts = {"names": ["a"], "confusions": torch.zeros(1, 19, 20).int().tolist(), "groups": [], "labelled_ids": [0]}
    (tmp_path / "confusions.json").write_text(json.dumps(counts))
    evaluation = read_evaluation(tmp_path)
    assert isinstance(evaluation, Evaluation) and evaluation.instances is evaluation.reliability is None


def test_measures_that_are_missing_are_measured_and_fewer_are_read_back(tmp_path, cpu):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])]
    network = open_predictor(Certain().eval(), 1, cpu)
    assert evaluate(network, sets, tmp_path / "out", {}).boundaries is None
    assert evaluate(network, sets, tmp_path / "out", {}, Measures(boundary=True)).boundaries is not None
    assert evaluate(None, sets, tmp_path / "out", {}).boundaries is not None


def test_a_line_per_frame(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]], [[VOID, VOID]])]
    evaluate(answering([[ROAD, ROAD]], [[ROAD, ROAD]]), sets, tmp_path / "out", {})
    first, second = csv.DictReader((tmp_path / "out/frames.csv").read_text().splitlines())
    assert first == {
        "frame": "val/city/0", "mean_iou": "0.250000", "pixel_accuracy": "0.500000", "worst_class": "car",
        "worst_iou": "0.000000", "valid_pixels": "2",
    }  # fmt: skip
    assert second["frame"] == "val/city/1" and second["mean_iou"] == second["worst_class"] == ""


# --- looks ------------------------------------------------------------------------------------------


def test_looks_are_named_and_put_into_each_other():
    network = Certain().eval()
    assert TestTimeAugmentation().name == "" and TestTimeAugmentation().of(network) is network
    looks = TestTimeAugmentation(flip=True, scales=(0.75, 1.0), window=(30, 60))
    assert looks.name == "flip_scales-0.75-1_window-60x30-stride-40x20"
    scaled = looks.of(network)
    assert isinstance(scaled, MultiScale) and isinstance(scaled.network, Windowed)
    assert isinstance(scaled.network.network, Flipped) and scaled.network.network.network is network


def test_a_predictor_uses_its_looks(cpu):
    """The network sees road at the left of what it is given, so its mirror image wins half of the right-most pixels."""

    class LeftIsRoad(torch.nn.Module):
        def forward(self, image):
            logits = torch.zeros(1, 19, *image.shape[-2:])
            logits[:, ROAD, :, 0], logits[:, CAR, :, 1:] = 5, 1
            return logits

    image = np.zeros((1, 3, 3), np.uint8)
    assert open_predictor(LeftIsRoad().eval(), 1, cpu)(image, (1, 3)).tolist() == [[ROAD, CAR, CAR]]
    flipped = open_predictor(LeftIsRoad().eval(), 1, cpu, Inference(augmentation=TestTimeAugmentation(flip=True)))
    assert flipped(image, (1, 3)).tolist() == [[ROAD, CAR, ROAD]]
    assert len(CLASS_NAMES) == flipped.logits(image, (1, 3)).shape[1]
