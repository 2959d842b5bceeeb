"""The charts are drawn by hand, so their geometry is checked by hand: ticks, thinning, holes and escaping."""

import math
import re
from dataclasses import replace
from importlib import resources
from xml.etree import ElementTree as Tree

import pytest

from pipelines.report import charts


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 4000, 4, [0, 1000, 2000, 3000, 4000]),
        (0.28, 0.61, 6, [0.3, 0.4, 0.5, 0.6]),
        (-1.5, 1.5, 3, [-1, 0, 1]),
        (0, 3e-7, 3, [0, 1e-7, 2e-7, 3e-7]),
    ],
)
def test_tick_values(low, high, count, expected):
    assert charts.tick_values(low, high, count) == pytest.approx(expected)


def test_every_series_has_a_colour_in_light_and_in_dark():
    style = resources.files("pipelines.report.pages").joinpath("style.html").read_text("utf-8")
    styles = [charts.series_style(index) for index in range(charts.SERIES + 1)]
    assert styles[charts.SERIES] == styles[0] == "series-0" and len(set(styles)) == charts.SERIES
    assert all(style.count(f"--{name}: ") == 2 and f".{name} {{" in style for name in styles)
    assert f"series-{charts.SERIES}" not in style


def test_thin_averages_neighbours():
    assert charts.thin([(0, 1.0), (1, 3.0), (2, 5.0), (3, 7.0)], most=2) == [(0.5, 2.0), (2.5, 6.0)]
    assert len(charts.thin([(step, 0.0) for step in range(1001)])) == charts.MOST_POINTS


def test_line_is_broken_at_nan():
    line = charts.Line("loss", "oracle", [(0, 0.0), (1, 1.0), (2, math.nan), (3, 1.0), (4, 0.0)])
    path = Tree.fromstring(charts.line_chart([line], "losses")).find(".//path")
    assert path.get("d") == "M0.00 100.00L25.00 0.00M75.00 0.00L100.00 100.00"


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(5, 2.0)], {"line alone oracle": "M50.00 0.00h0"}),
        (
            [(0, 0.0), (1, 1.0), (2, math.nan), (3, 1.0), (4, math.nan)],
            {"line oracle": "M0.00 100.00L25.00 0.00", "line alone oracle": "M75.00 0.00h0"},
        ),
    ],
)
def test_a_point_without_neighbours_is_a_line_without_length(points, expected):
    """Drawn as a dot by the style's round ends, all of it where it lies on the edge."""
    svg = Tree.fromstring(charts.line_chart([charts.Line("loss", "oracle", points)], "losses"))
    assert {path.get("class"): path.get("d") for path in svg.iter("path")} == expected
    assert svg.find("svg").get("overflow") == "visible"


def test_the_axis_of_one_step_names_it_once():
    svg = Tree.fromstring(charts.line_chart([charts.Line("loss", "oracle", [(5, 2.0)])], "losses"))
    assert [text.text for text in svg.iter("text") if text.get("class") == "tick middle"] == ["5"]


@pytest.mark.parametrize("points", [[], [(0, math.nan)]])
def test_no_curve_is_said_in_words(points):
    assert "No curve" in charts.line_chart([charts.Line("loss", "oracle", points)], "losses")


@pytest.mark.parametrize("points", [[(5, 2.0)], [(0, 0.0), (1, 0.0)], [(0, -3.0), (1, -2.0)]])
def test_flat_and_single_curves_can_be_drawn(points):
    assert "<path" in charts.line_chart([charts.Line("loss", "oracle", points)], "losses")


def test_bars_are_as_long_as_the_mean_over_seeds(study):
    values = {"source_only": (0.2, 0.4), "translated": (0.5, 0.5), "oracle": (0.7, 0.9)}
    template = study.results[0]
    results = [
        replace(template, arm=arm, seed=seed, iou=[value] + [None] * 18)
        for arm, pair in values.items()
        for seed, value in enumerate(pair)
    ]
    svg = Tree.fromstring(charts.class_bars(replace(study, results=results), [0]))
    assert [bar.get("width") for bar in svg.iter("rect")] == ["30.00%", "50.00%", "80.00%"]
    assert svg.get("aria-label") == "IoU of road: source-only 0.300, translated 0.500, oracle 0.800"


def test_heatmap_has_a_row_per_labelled_class_in_percent(study):
    matrix = [[3, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0]]
    result = replace(study.results[0], arm="oracle", confusion=matrix)
    small = replace(study, classes=["a", "b", "c"], groups=[], results=[result])
    svg = Tree.fromstring(charts.confusion_heatmap(small, "oracle"))
    said = [title.text for title in svg.iter("title")]
    assert said[:3] == ["a seen as a: 75.0 %", "a seen as b: 25.0 %", "a seen as c: 0.0 %"]
    assert len(said) == 6  # two labelled classes, three columns: nothing was predicted as void


def test_long_names_of_merged_classes_have_lines_and_end_in_the_picture():
    """The last column's name, turned by 60 degrees, reaches half its length beyond where it begins."""
    long = "car + truck + bus + train + motorcycle + bicycle"
    svg = Tree.fromstring(charts.heatmap(["road", long], [[1, 0, 0], [0, 1, 0]], "said"))
    *_, last = [text for text in svg.iter("text") if text.get("class") == "name" and len(text) == 2]
    assert [line.text for line in last] == ["car + truck + bus + train +", "motorcycle + bicycle"]
    begins = float(re.match(r"translate\(([0-9.]+) ", last.get("transform"))[1])
    assert float(svg.get("viewBox").split()[2]) > begins + 0.5 * 6 * len(last[0].text)
    of_row = next(text for text in svg.iter("text") if text.get("class") == "name end" and len(text) == 2)
    assert float(of_row[1].get("y")) - float(of_row[0].get("y")) == charts.TITLE_LINE


def test_a_heatmap_of_no_class_is_empty():
    assert not list(Tree.fromstring(charts.heatmap([], [], "said")).iter("rect"))


def test_gap_chart_places_every_seed(study):
    svg = Tree.fromstring(charts.gap_chart(study))
    assert len(list(svg.iter("circle"))) == 9
    places = [float(dot.get("cx").rstrip("%")) for dot in svg.iter("circle")]
    assert all(0 < place < 100 for place in places)


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_axis_of_scores_ends_where_scores_end(score):
    rows = [charts.Scored("one", "translated", [(0, score, (score, score))])]
    ticks = re.findall(r'class="tick middle">([^<]+)<', charts.scores_chart(rows, "scores"))
    assert ticks and all(0 <= float(tick) <= 1 for tick in ticks)


def test_names_are_escaped_and_made_visible(study):
    hostile = replace(study, classes=['<script>"\x00\u202e', *study.classes[1:]])
    text = charts.class_bars(hostile, [0])
    assert "<script>" not in text and "\x00" not in text and "\u202e" not in text
    assert Tree.fromstring(text).get("aria-label").startswith('IoU of <script>"\ufffd\ufffd')
