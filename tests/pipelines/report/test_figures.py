"""Numbers as a reader sees them, what is missing among them."""

import math

from pipelines.report import figures


def test_numbers_look_the_same_everywhere():
    assert figures.score(0.41249) == "0.412"
    assert figures.score(None) == figures.score(math.nan) == figures.percent(None) == "–"
    assert figures.percent(-0.254) == "−25 %"
    assert (figures.change(0.1), figures.change(-0.0314)) == ("+0.100", "−0.031")
    assert [figures.significant(value) for value in (0.012345, 1234567.0, -1e-4)] == ["0.01235", "1.235e+06", "-0.0001"]
    assert figures.significant(0.14142, 2) == "0.14"
    assert [figures.significant(value) for value in (None, math.nan, math.inf)] == ["–"] * 3
    assert [figures.duration(s) for s in (48, 754, 11100, math.nan)] == ["48 s", "13 min", "3 h 05 min", "–"]
