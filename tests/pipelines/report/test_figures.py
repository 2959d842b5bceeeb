"""Numbers as a reader sees them, what is missing among them."""

import math

from pipelines.report import figures


def test_numbers_look_the_same_everywhere():
    assert figures.score(0.41249) == "0.412"
    assert figures.score(None) == figures.score(math.nan) == figures.percent(None) == "–"
    assert figures.percent(-0.254) == "−25 %"
    assert (figures.change(0.1), figures.change(-0.0314)) == ("+0.100", "−0.031")
    assert figures.amount(-1234.56) == "−1 234.6"
    assert [figures.significant(value) for value in (0.012345, -1e-4, -2.5e-6)] == ["0.01235", "−0.0001", "−2.5e-06"]
    assert figures.significant(0.14142, 2) == "0.14"
    assert [figures.significant(value) for value in (None, math.nan, math.inf)] == ["–"] * 3
    assert [figures.duration(s) for s in (48, 754, 11100, math.nan)] == ["48 s", "12 min 34 s", "3 h 05 min", "–"]


def test_large_figures_are_whole_numbers_and_not_powers_of_ten():
    assert [figures.significant(value) for value in (494083, 9999.4, 9999.6)] == ["494 083", "9999", "10 000"]
    assert figures.significant(123.4, 2) == "123" and figures.significant(99.6, 2) == "100"


def test_what_rounds_to_zero_has_no_minus():
    """ "−0 %" of the gap would look like harm."""
    assert (figures.score(-1e-4), figures.percent(-0.004), figures.amount(-0.01)) == ("0.000", "0 %", "0.0")
    assert figures.change(-1e-4) == "+0.000" and figures.significant(-0.0) == "0"
