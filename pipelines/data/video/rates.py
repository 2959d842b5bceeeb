"""Frames a second: what films may name, and what is taken where nobody says."""

from fractions import Fraction

USUAL_RATE = 25.0
"""Where nobody says."""
TICKS = 1000
"""Of a second, in films that are written as they come: Matroska counts no finer, and would give two frames one time."""
LEAST_RATE, MOST_RATE = 0.01, float(TICKS)
"""Such as film or stream have, and no finer than films count."""


def is_rate(rate: float | Fraction) -> bool:
    """Whether a film may have so many frames a second."""
    return LEAST_RATE <= rate <= MOST_RATE


def film_rate(named: float | Fraction | None) -> Fraction:
    """Frames a second of a film of which a source says so many: these, or the usual ones where it says nothing or what
    cannot be, as the index of a single frame may, or a stream without times.
    """
    return Fraction(USUAL_RATE if named is None or not is_rate(named) else named)
