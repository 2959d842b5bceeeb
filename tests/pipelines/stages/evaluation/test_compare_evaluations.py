"""Two evaluations of the same frames, by hand; and what cannot be compared."""

import dataclasses
import json

import pytest
import torch

from pipelines.errors import UserError
from pipelines.stages.evaluation.compare_evaluations import (
    compare_evaluations,
    format_comparison,
    open_evaluation,
    write_comparison,
)
from pipelines.stages.evaluation.scores import Evaluation, write_evaluation
from segment.metrics.regions import confusion_matrix

ROAD, CAR = 0, 13


def evaluation(*predictions, names=("val/0", "val/1"), truth=(ROAD, ROAD, CAR, CAR), groups=(), ids=range(19)):
    confusions = [confusion_matrix(torch.tensor(truth), torch.tensor(prediction)) for prediction in predictions]
    return Evaluation(list(names), torch.stack(confusions), [list(group) for group in groups], list(ids))


BETTER = [ROAD, ROAD, CAR, CAR], [ROAD, ROAD, CAR, CAR]
WORSE = [ROAD, ROAD, CAR, ROAD], [ROAD, ROAD, CAR, ROAD]


def test_differences_by_hand():
    """Car: 1 against 1/2 in both frames, road 1 against 2/3: nothing to doubt in these frames."""
    comparison = compare_evaluations(("a", "b"), evaluation(*BETTER), evaluation(*WORSE))
    rows = {title: values for title, *values in comparison.rows()}
    assert rows["car"] == pytest.approx([1, 0.5, 0.5, 0.5, 0.5])
    assert rows["road"] == pytest.approx([1, 2 / 3, 1 / 3, 1 / 3, 1 / 3])
    assert rows["mIoU"] == pytest.approx([1, 7 / 12, 5 / 12, 5 / 12, 5 / 12])
    assert set(rows) == {"road", "car", "mIoU"}


def test_the_table_marks_what_is_beyond_doubt(tmp_path):
    sure = format_comparison(compare_evaluations(("a", "b"), evaluation(*BETTER), evaluation(*WORSE)))
    assert "A = a" in sure and "B = b" in sure
    assert next(line for line in sure.splitlines() if line.startswith("car")).split() == [
        "car", "1.000", "0.500", "+0.500", "+0.500", "to", "+0.500", "*",
    ]  # fmt: skip
    same = format_comparison(compare_evaluations(("a", "b"), evaluation(*WORSE), evaluation(*WORSE)))
    assert not any(line.endswith("  *") for line in same.splitlines())


def test_the_figures_are_written(tmp_path):
    comparison = compare_evaluations(("a", "b"), evaluation(*BETTER), evaluation(*WORSE))
    write_comparison(comparison, tmp_path)
    kept = json.loads((tmp_path / "comparison.json").read_text())
    assert kept["first"] == "a" and kept["frames"] == 2
    assert kept["iou"]["car"] == {"first": 1, "second": 0.5, "difference": 0.5, "low": 0.5, "high": 0.5}


def test_frames_of_a_drive_are_drawn_together():
    """One evaluation knows the drives, the other was made before they were known: the first's are drawn."""
    known = dataclasses.replace(evaluation(*BETTER), drives=["val/a", "val/a"])
    for pair in ((known, evaluation(*WORSE)), (evaluation(*WORSE), known)):
        comparison = compare_evaluations(("a", "b"), *pair)
        over = "1 block of consecutive frames (1 drive)"
        assert comparison.summary()["interval"] == f"95 % of the difference, paired bootstrap over {over}"
        assert format_comparison(comparison).endswith(f"paired bootstrap over {over}")
        assert comparison.rows()[-1][4:] == (None, None)


def test_one_frame_gives_no_interval():
    pair = [evaluation(one[0], names=("val/0",)) for one in (BETTER, WORSE)]
    assert compare_evaluations(("a", "b"), *pair).rows()[-1][4:] == (None, None)
    assert "– to –" in format_comparison(compare_evaluations(("a", "b"), *pair))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (evaluation(*WORSE, names=("val/0", "val/2")), "different frames: 'val/1' is in one only"),
        (evaluation(*WORSE, names=("val/1", "val/0")), "different frames: they come in another order"),
        (evaluation(*WORSE, truth=(ROAD, ROAD, ROAD, CAR)), "the label map of 'val/0' is another"),
        (evaluation(*WORSE, groups=[[6, 7]]), "scored in different classes"),
        (evaluation(*WORSE, ids=range(18)), "scored in different classes"),
    ],
)
def test_other_frames_are_refused(second, message):
    with pytest.raises(UserError, match=message):
        compare_evaluations(("a", "b"), evaluation(*BETTER), second)


def test_what_is_no_evaluation_is_evaluated(tmp_path):
    write_evaluation(evaluation(*BETTER), tmp_path / "done", {})
    assert open_evaluation(tmp_path / "done", lambda path: pytest.fail("evaluated again")).mean_iou() == 1
    (tmp_path / "run").mkdir()
    assert open_evaluation(tmp_path / "run", lambda path: path.name) == "run"
    with pytest.raises(UserError, match="gone does not exist; expected an evaluation's folder"):
        open_evaluation(tmp_path / "gone", lambda path: path.name)


def test_figures_without_the_counts_behind_them_cannot_be_compared(tmp_path):
    write_evaluation(evaluation(*BETTER), tmp_path, {})
    counts = tmp_path / "confusions.json"
    for strange in ("{}", "[]", '{"names": [], "confusions": "none"}'):
        counts.write_text(strange)
        with pytest.raises(UserError, match=r"confusions.json holds no counts of an evaluation \(.*; remove it and ev"):
            open_evaluation(tmp_path, lambda path: pytest.fail("evaluated"))
    counts.unlink()
    with pytest.raises(UserError, match=r"confusions.json is missing, and with it the counts .*; evaluate again"):
        open_evaluation(tmp_path, lambda path: pytest.fail("evaluated"))
