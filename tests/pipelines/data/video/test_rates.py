"""Frames a second that films may name."""

from fractions import Fraction

import pytest

from pipelines.data.video.rates import film_rate, is_rate


@pytest.mark.parametrize(
    ("named", "rate"),
    [(None, 25), (Fraction(30000, 1001), Fraction(30000, 1001)), (0.01, Fraction(0.01)), (1000, 1000), (12800, 25)],
)
def test_what_no_film_has_is_the_usual_rate(named, rate):
    assert film_rate(named) == rate


def test_what_is_no_number_is_no_rate():
    assert not any(is_rate(rate) for rate in (float("nan"), float("inf"), 0, -25, 0.009, 1001))
