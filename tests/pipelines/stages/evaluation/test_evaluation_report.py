"""The page of an evaluation from its counts: which classes, which frames, whose figures."""

import math

import torch

from pipelines.report.pages.evaluation_page import EvaluatedFrame
from pipelines.stages.evaluation import evaluation_report
from pipelines.stages.evaluation.evaluation_report import report_evaluation
from pipelines.stages.evaluation.scores import Evaluation
from segment.metrics.regions import confusion_matrix
from tests.pipelines.stages.evaluation.scored import CAR, ROAD, SIGN, VOID


def evaluation(*frames):
    """An evaluation of frames named 0, 1, …, each a pair of truth and prediction; labels express road and car alone."""
    confusions = torch.stack([confusion_matrix(torch.tensor(truth), torch.tensor(seen)) for truth, seen in frames])
    return Evaluation([str(number) for number in range(len(frames))], confusions, [], [ROAD, CAR])


def test_the_page_holds_what_was_counted(tmp_path, monkeypatch):
    """Two of four pixels are road and right; of two cars one is a sign, which no label can say; frame 1 is void."""
    written = []
    monkeypatch.setattr(evaluation_report, "write_evaluation_page", lambda page, path: written.append((page, path)))
    counted = evaluation(([ROAD, ROAD, CAR, CAR], [ROAD, ROAD, CAR, SIGN]), ([VOID], [ROAD]))
    path = report_evaluation(counted, tmp_path, "runs/x", "val", [("Command", "typed")])
    ((page, where),) = written
    assert path == where == tmp_path / "evaluation.html"
    assert page.classes == [(ROAD, "road"), (CAR, "car")]
    assert page.confusion == [[2, 0, 0], [0, 1, 1]]  # the last column: seen as what is not scored
    assert page.frames == [EvaluatedFrame("0", 0.75)]  # (2/2 + 1/2) / 2
    assert (page.network, page.frame_sets, page.facts) == ("runs/x", "val", [("Command", "typed")])
    assert math.isclose(page.summary["mean_iou"], 0.75) and dict(page.means)["mIoU"] == page.summary["mean_iou"]


def test_it_is_written_beside_the_figures(tmp_path):
    counted = evaluation(([ROAD, CAR], [ROAD, CAR]))
    assert report_evaluation(counted, tmp_path, "net", "val", []) == tmp_path / "evaluation.html"
    text = (tmp_path / "evaluation.html").read_text("utf-8")
    assert "<html" in text and "net" in text
