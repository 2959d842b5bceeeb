"""Numbers as a reader sees them, the same in the terminal and on the page."""

import math


def score(value: float | None) -> str:
    """A mean IoU, IoU or accuracy in 0..1 with three digits; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}".replace("-", "−")


def change(value: float) -> str:
    """A difference of scores with its sign."""
    return "–" if not math.isfinite(value) else f"{value:+.3f}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share as a whole percentage; a dash where it is undefined."""
    return "–" if share is None or not math.isfinite(share) else f"{share * 100:.0f} %".replace("-", "−")


def amount(value: float, digits: int = 1) -> str:
    """A measured quantity without a unit, thousands set apart; a dash where there is none."""
    return "–" if not math.isfinite(value) else f"{value:,.{digits}f}".replace(",", " ")


def significant(value: float | None, digits: int = 4) -> str:
    """A figure of any scale by its first digits that count; a dash where there is none."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: 48 s, 12 min, 3 h 05 min."""
    if not math.isfinite(seconds):
        return "–"
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
