"""Clouds of points: marks where their points are, names that neither cover each other nor stand between clouds."""

import re

from pipelines.report.scatter import MARKS, SIDE, extent, mark_key, scatter


def test_a_point_is_where_it_belongs():
    """The unit square fills the drawing but for the margin of 14; up is up."""
    svg = scatter([(0.0, 0.0), (1.0, 1.0)], [0, 0], ["source", "source"], (0, 0, 1, 1), "said", {})
    assert f"M14.0 {SIDE - 14}.0h0M{SIDE - 14}.0 14.0h0" in svg and 'aria-label="said"' in svg


def test_every_class_and_domain_is_one_path():
    svg = scatter([(0.0, 0.0)] * 4, [0, 0, 13, 13], ["source", "target", "target", "target"], (0, 0, 1, 1), "", {})
    assert svg.count("<path") == 3 and svg.count("of-target c-13") == 1


def test_names_do_not_cover_each_other():
    points = [(0.0, 0.0)] * 8
    names = {i: "traffic light" for i in range(8)}
    svg = scatter(points, list(range(8)), ["source"] * 8, (-1, -1, 1, 1), "", names)
    assert svg.count("<text") == 8 and svg.count("crowded") == 3, "five lines have room, the others wait"


def test_a_name_stands_on_a_mark_of_the_target():
    """The cross is at (0.8, 0.9); dots of the source, though more, do not pull."""
    points = [(0.0, 0.0), (0.0, 0.1), (0.1, 0.0), (0.8, 0.9)]
    svg = scatter(points, [0] * 4, ["source"] * 3 + ["target"], (0, 0, 1, 1), "", {0: "road"})
    assert f'x="{14 + 0.8 * (SIDE - 28):.1f}" y="{14 + 0.1 * (SIDE - 28):.1f}"' in svg


def test_a_square_about_the_points():
    assert extent([(0.0, 0.0), (4.0, 2.0)]) == (0.0, -1.0, 4.0, 3.0)
    assert extent([(1.0, 1.0)]) == (0.0, 0.0, 2.0, 2.0) and extent([]) == (-1.0, -1.0, 1.0, 1.0)


def test_marks_differ():
    assert len({str(mark_key(domain)) for domain in MARKS}) == 3


def test_names_and_words_never_become_markup():
    svg = scatter([(0.0, 0.0)], [0], ["source"], (0, 0, 1, 1), 'a "<b>"', {0: "<i>&"})
    assert 'aria-label="a &quot;&lt;b&gt;&quot;"' in svg and "&lt;i&gt;&amp;" in svg and "<i>" not in svg


def test_a_name_at_the_edge_stays_within_the_picture():
    svg = scatter([(1.0, 0.5)], [0], ["target"], (0, 0, 1, 1), "", {0: "traffic light"})
    # Thirteen letters of 6.4 are 83.2 wide: the middle is at most 400 - 41.6 - 4 = 354.4.
    assert re.search(r'<text x="354.4" y="200.0"', svg)


def test_only_classes_that_are_there_are_named():
    assert scatter([(0.0, 0.0)], [0], ["source"], (0, 0, 1, 1), "", {0: "road", 13: "car"}).count("<text") == 1
