"""The picture of what networks reach against what they take: places, names and marks."""

import itertools
import re
from xml.etree import ElementTree as Tree

import pytest

from pipelines.report.tradeoff import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Mark, tradeoff

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*marks, series=("",)):
    return Tree.fromstring(tradeoff(marks, "in words", series))


def places(svg):
    """Where each mark that says something is."""
    marks = [mark for mark in svg.iter(f"{SVG}path") if mark.find(f"{SVG}title") is not None]
    found = [re.match(r"M([\d.]+) ([\d.]+)m", mark.get("d")) for mark in marks]
    return [(float(match[1]), float(match[2])) for match in found]


def names(svg, *of):
    return {
        text.text: (float(text.get("x")), float(text.get("y"))) for text in svg.iter(f"{SVG}text") if text.text in of
    }


def test_faster_is_further_left_and_better_is_higher():
    better, worse = places(drawn(Mark("a", "", 40, 0.7), Mark("b", "", 60, 0.6)))
    assert better[0] < worse[0] and better[1] < worse[1]


def test_all_is_inside():
    svg = drawn(*(Mark(f"net{i}", "", 10**i, i / 9) for i in range(4)))
    assert all(LEFT < x < WIDTH - RIGHT and TOP < y < HEIGHT - BOTTOM for x, y in places(svg))


def test_times_are_logarithmic():
    first, second, third = places(drawn(*(Mark(f"{time}", "", time, 0.5) for time in (1, 10, 100))))
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.2)


def test_one_network_is_one_line_and_one_name():
    svg = drawn(Mark("a", "low", 40, 0.2), Mark("a", "high", 40, 0.6, 1), series=("raw", "real"))
    (low_x, low_y), (high_x, high_y) = places(svg)
    assert low_x == high_x
    spans = [(float(s.get("y1")), float(s.get("y2"))) for s in svg.iter(f"{SVG}line") if s.get("class") == "span"]
    assert spans == [(high_y, low_y)]
    assert names(svg, "a")["a"] == (high_x + 9, high_y + 4)


def test_names_do_not_cover_each_other():
    svg = drawn(*(Mark(f"network_{i}", "", 40 + i / 10, 0.5) for i in range(5)), Mark("far", "", 400, 0.5))
    found = names(svg, *(f"network_{i}" for i in range(5)), "far")
    heights = sorted(y for name, (_, y) in found.items() if name != "far")
    assert all(higher - lower >= 16 for lower, higher in itertools.pairwise(heights))
    assert found["far"][1] == min(heights)


def test_names_stay_in_the_picture_and_those_of_the_best_go_first():
    """Of 34 networks of one latency some find no room: these are not named, and their marks say who they are.

    Scores from 0.400 to 0.433 and margins of 0.15 * 0.033 take 340 pixels: names of 16 have room for every second.
    """
    networks = [Mark(f"network_{i:02d}", f"network_{i:02d}: said", 40, 0.4 + i / 1000) for i in range(34)]
    svg = drawn(*networks)
    found = names(svg, *(mark.name for mark in networks))
    heights = sorted(y for _, y in found.values())
    assert 15 < len(heights) < 34 and heights[0] >= TOP and heights[-1] <= HEIGHT - BOTTOM + 4
    assert all(lower - higher >= 16 for higher, lower in itertools.pairwise(heights))
    assert list(found)[:3] == ["network_33", "network_32", "network_31"]
    marked = dict(zip((mark.name for mark in networks), places(svg), strict=True))
    assert all(-0.1 < y - 4 - marked[name][1] < 3 * 16 + 0.1 for name, (_, y) in found.items())
    assert {title.text for title in svg.iter(f"{SVG}title")} >= {mark.said for mark in networks}


def test_a_long_name_at_the_right_end_stands_to_the_left_of_its_mark():
    slow = "deeplabv2_resnet101_four_branches"
    svg = drawn(Mark("fast", "", 4, 0.5), Mark(slow, "", 400, 0.6))
    text = next(text for text in svg.iter(f"{SVG}text") if text.text == slow)
    (_, _), (x, y) = places(svg)
    assert text.get("text-anchor") == "end" and names(svg, slow)[slow] == (pytest.approx(x - 9), y + 4)


def test_several_series_have_a_legend():
    marks = Mark("a", "", 40, 0.2), Mark("a", "", 40, 0.6, 1), Mark("a", "", 40, 0.4, 2)
    assert set(names(drawn(*marks, series=("raw", "real", "both")), "raw", "real", "both")) == {"raw", "real", "both"}
    outlines = {re.sub(r"M[\d. ]+", "", path.get("d")) for path in drawn(*marks).iter(f"{SVG}path")}
    assert len(outlines) == 3


def test_names_cannot_become_markup():
    svg = tradeoff([Mark("<script>alert(1)</script>", "<b>", 1, 0.5)], "words")
    assert "<script" not in svg and "&lt;script" in svg and "<b>" not in svg
