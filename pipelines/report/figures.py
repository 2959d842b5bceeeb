"""Numbers as a reader sees them, the same in the terminal and on the page. What rounds to zero has no minus."""

import math

from pipelines import progress


def score(value: float | None) -> str:
    """A mean IoU, IoU or accuracy in 0..1 with three digits; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else _with_minus(f"{value:z.3f}")


def change(value: float | None) -> str:
    """A difference of scores with its sign; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else _with_minus(f"{value:+z.3f}")


def percent(share: float | None) -> str:
    """A share as a whole percentage; a dash where it is undefined."""
    return "–" if share is None or not math.isfinite(share) else _with_minus(f"{share * 100:z.0f} %")


def amount(value: float, digits: int = 1) -> str:
    """A measured quantity without a unit, thousands set apart; a dash where there is none."""
    return "–" if not math.isfinite(value) else _with_minus(f"{value:z,.{digits}f}".replace(",", " "))


def significant(value: float | None, digits: int = 4) -> str:
    """A figure of any scale by its first digits that count, whole numbers in full; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if round(abs(value)) >= 10**digits:  # 4.941e+05 parameters are nothing to read
        return amount(value, 0)
    return _with_minus(f"{value:z.{digits}g}")


def duration(seconds: float) -> str:
    """Seconds as a person says them: 48 s, 12 min 05 s, 3 h 05 min; a dash where they are not known."""
    return progress.duration(seconds) if math.isfinite(seconds) else "–"


def _with_minus(number: str) -> str:
    """A minus in place of a hyphen at the beginning."""
    return f"−{number[1:]}" if number.startswith("-") else number
