"""The page of an evaluation: its words, its numbers, and hostile names in it; on disk it is one file."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch

from pipelines.report import charts
from pipelines.report.pages.evaluation_page import (
    LISTED,
    EvaluatedFrame,
    EvaluationPage,
    columns,
    headline,
    render_evaluation,
    write_evaluation_page,
)
from pipelines.stages.evaluation.evaluation_table import means
from pipelines.stages.evaluation.scores import Evaluation
from segment.metrics.calibration import reliability
from segment.metrics.regions import confusion_matrix

ROAD, CAR = 0, 13
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def evaluation():
    """Three frames with all that can be measured; car is found in half of its pixels."""
    truth, seen = torch.tensor([[ROAD, ROAD, CAR, CAR]]), torch.tensor([[ROAD, ROAD, CAR, ROAD]])
    logits = torch.nn.functional.one_hot(seen, 19).permute(2, 0, 1)[None] * 3.0
    return Evaluation(
        ["val/a", "val/b", "val/c"],
        confusion_matrix(truth, seen).expand(3, 19, 20).clone(),
        [],
        list(range(19)),
        torch.tensor([[CAR, 2, 1, 1]] * 3),
        torch.ones(3, 19, 3, dtype=torch.int64),
        0.005,
        reliability(logits, truth[None]),
    )


@pytest.fixture
def page(evaluation):
    summary = evaluation.summary()
    return EvaluationPage(
        network="runs/x/oracle",
        frame_sets="cityscapes_val",
        summary=summary,
        means=means(summary),
        classes=[(ROAD, "road"), (CAR, "car")],
        confusion=[[6, 0, 0], [3, 3, 0]],
        frames=[EvaluatedFrame(f"val/{i:02d}", i / 100) for i in range(30)],
        facts=[("Command", "sim2real segment evaluate")],
    )


def test_the_headline_says_how_sure_it_is(page):
    assert headline(page).startswith("Mean IoU 0.583 on cityscapes_val, between ")
    alone = page.summary | {"interval_95": [None, None]}
    assert headline(replace(page, summary=alone)) == "Mean IoU 0.583 on cityscapes_val."
    assert "could be scored" in headline(replace(page, summary=page.summary | {"mean_iou": None}))


def test_best_and_worst_frames_by_name(page):
    assert [frame.name for frame in page.worst] == [f"val/{i:02d}" for i in range(LISTED)]
    assert [frame.name for frame in page.best] == [f"val/{29 - i:02d}" for i in range(LISTED)]


def test_of_few_frames_none_is_among_the_best_and_the_worst(page):
    few = replace(page, frames=page.frames[:5])
    ascending = sorted(few.frames, key=lambda frame: frame.mean_iou)
    assert few.worst == ascending[:2] and few.best == ascending[:2:-1]
    alike = replace(page, frames=[EvaluatedFrame(name, 0.5) for name in "ab"])
    assert [one.name for one in (*alike.worst, *alike.best)] == ["a", "b"]
    alone = replace(page, frames=page.frames[:1])
    assert (alone.worst, alone.best) == ([], page.frames[:1])


def test_columns_are_those_that_were_measured(page):
    assert [title for title, _ in columns(page.summary)] == [
        "IoU", "Accuracy", "Precision", "F1", "iIoU", "Boundary", "Of pixels",
    ]  # fmt: skip
    plain = {key: value for key, value in page.summary.items() if key not in ("instance_iou", "boundary_iou")}
    assert "iIoU" not in dict(columns(plain))


def test_the_page_holds_the_figures(page):
    text = render_evaluation(page)
    for part in ("0.583", "road", "Confusion matrix", "Calibration error", "Brier score", "iIoU", "val/00", "vehicle"):
        assert part in text
    assert "http" not in text.replace("http-equiv", "")


def test_it_does_not_say_that_frames_are_drawn_together_where_each_is_drawn_by_itself(page):
    text = render_evaluation(page)
    assert "a percentile bootstrap over 3 frames, 1000 draws, 95 %; where a drive has several frames" in text


def test_the_page_without_options(page):
    wanted = ("instance_iou", "boundary_iou", "calibration", "category_iou")
    plain = {key: value for key, value in page.summary.items() if key not in wanted}
    text = render_evaluation(replace(page, summary=plain, means=means(plain), frames=[]))
    assert "believed" not in text and "iIoU" not in text and "No frame has a score" in text


def test_hostile_names_are_text(page):
    text = render_evaluation(
        replace(
            page, network=HOSTILE, frame_sets=HOSTILE, frames=[EvaluatedFrame(HOSTILE, 0.5)], facts=[("x", HOSTILE)]
        )
    )
    assert HOSTILE not in text and text.count("&lt;script&gt;") >= 4


def test_tags_are_closed(page):
    open_tags, void = [], {"meta", "img", "input", "br", "link"}

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag not in void:
                open_tags.append(tag)

        def handle_startendtag(self, tag, attributes):
            pass

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Reader().feed(render_evaluation(page))
    assert open_tags == []


def test_the_reliability_diagram_draws_the_bins_that_have_pixels():
    bins = [
        {"up_to": 0.5, "pixels": 0, "accuracy": None, "confidence": None},
        {"up_to": 1.0, "pixels": 8, "accuracy": 0.25, "confidence": 0.8},
    ]
    drawn = charts.reliability_diagram(bins, height=100)
    assert drawn.count("<rect") == 1 and 'height="25.0"' in drawn and 'y="75.0"' in drawn
    assert "Confidence 0.800, right 0.250: 100.0 % of pixels" in drawn


def test_a_bar_is_as_long_as_its_value():
    assert 'width="25.00%"' in charts.bar("road", 0.25)
    assert "<rect" not in charts.bar("road", None) and "road: –" in charts.bar("road", None)


def test_the_heatmap_leaves_out_empty_rows_and_an_empty_void():
    drawn = charts.heatmap(["road", "car"], [[3, 1, 0], [0, 0, 0]], "Confusion")
    assert drawn.count('class="base"') == 2 and "void" not in drawn
    assert "road seen as car: 25.0 %" in drawn
    assert "road seen as void: 50.0 %" in charts.heatmap(["road", "car"], [[2, 0, 2], [0, 0, 0]], "Confusion")


def test_it_is_written_as_it_was_rendered(page, tmp_path):
    write_evaluation_page(page, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == render_evaluation(page)
