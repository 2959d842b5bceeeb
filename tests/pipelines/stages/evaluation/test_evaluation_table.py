"""An evaluation as a table for the terminal: columns and means that were measured, no others."""

import torch

from pipelines.data.labels.encodings import cityscapes
from pipelines.stages.evaluation.evaluate import evaluate
from pipelines.stages.evaluation.evaluation_table import format_summary, means
from pipelines.stages.evaluation.scores import Evaluation
from segment.classes import CLASS_NAMES
from segment.metrics.regions import confusion_matrix
from tests.pipelines.stages.evaluation.scored import (
    CAR,
    CITYSCAPES_ID,
    ROAD,
    TRUCK,
    answering,
    both_measured,
    frame_set,
)


def test_the_table_for_the_terminal(tmp_path):
    sets = [frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD, CAR]])]
    table = format_summary(evaluate(answering([[ROAD, CAR]]), sets, tmp_path / "out", {}))
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["IoU", "acc", "prec", "F1", "share"]
    assert ["road", "1.000", "1.000", "1.000", "1.000", "0.500"] in lines and ["mIoU", "1.000"] in lines
    assert not any(CLASS_NAMES[TRUCK] in line for line in lines)
    assert table.endswith("\n1 frame")


def test_columns_stand_below_each_other_where_a_group_has_a_long_name():
    """As IDD Lite's, whose labels have one class for cars, lorries, buses, trains and two-wheelers."""
    confusion = confusion_matrix(torch.tensor([ROAD, CAR]), torch.tensor([ROAD, CAR]))[None]
    group = [CAR, TRUCK, 15, 16, 17, 18]
    lines = format_summary(Evaluation(["val/0"], confusion, [group], [ROAD, CAR])).splitlines()
    assert lines[2].startswith("car + truck + bus + train + motorcycle + bicycle  1.000  1.000")
    ends = {line.index("1.000") for line in lines[1:3]}
    assert ends == {lines[0].index("IoU") - 2} and len({len(line) for line in lines[:3]}) == 1


def test_the_table_shows_what_was_measured(tmp_path, cpu):
    table = format_summary(both_measured(tmp_path, cpu))
    assert table.splitlines()[0].split() == ["IoU", "acc", "prec", "F1", "share", "bIoU"]
    assert "expected calibration error" in table and "Brier score" in table and "boundary IoU" in table


def test_what_was_not_measured_has_no_row():
    summary = {
        "mean_iou": 0.5, "mean_iou_16": 0.25, "mean_iou_13": None, "frequency_weighted_iou": 0.75,
        "pixel_accuracy": 0.8, "mean_accuracy": 0.6,
    }  # fmt: skip
    names = ["mIoU", "mIoU of the 16", "frequency-weighted IoU", "pixel accuracy", "mean accuracy"]
    assert means(summary) == list(zip(names, (0.5, 0.25, 0.75, 0.8, 0.6), strict=True))
    measured = summary | {"boundary_iou": {"mean": 0.4}, "instance_iou": {"mean": 0.3, "mean_of_categories": 0.2}}
    assert means(measured)[5:] == [("iIoU of classes", 0.3), ("iIoU of categories", 0.2), ("boundary IoU", 0.4)]
