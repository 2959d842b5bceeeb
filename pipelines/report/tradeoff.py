"""What networks reach against what they take: mean IoU over milliseconds per image, as an SVG file.

Networks of one name stand on one vertical line, because whatever they were trained on they take the same time. Elements
are built as a tree, so that no name can become markup.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as Tree

from pipelines.report.charts import added, tick_values

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 24, 56
"""Margins of the picture; names of networks stand in the right one."""
LETTER, LINE = 7.5, 16
"""Width of a name's letter and height of its line."""
APART = 9
"""Between a mark and its name."""
MOVED = 3
"""Lines that a name may stand below its mark; further down it would seem to be another's."""

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.grid{stroke:#ddd}.axis,.span{stroke:#888}"
    ".tick{fill:#666;font-size:12px}.mark{fill:#2563a8;stroke:#2563a8}.mark.s1{fill:#c2410c;stroke:#c2410c}.mark.s2{fill:#fff;stroke:#c2410c}"
    ".mark.s2{stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#ddd}.tick{fill:#aaa}.grid{stroke:#444}"
    ".mark{fill:#7db4ee;stroke:#7db4ee}.mark.s1{fill:#fb923c;stroke:#fb923c}.mark.s2{fill:#111;stroke:#fb923c}}"
)
OUTLINES = ("M{x} {y}m-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", "M{x} {y}m0-6l6 10h-12z", "M{x} {y}m0-6l6 6l-6 6l-6-6z")
"""Path data of each series' mark. They differ in outline too: some readers see no colours."""


@dataclass(frozen=True)
class Mark:
    """One point of the picture: a network, what it takes, what it reaches, and the number of its series."""

    name: str
    said: str
    """What a pointer that rests on it is told."""
    milliseconds: float
    score: float
    series: int = 0


def tradeoff(marks: Sequence[Mark], said: str, series: Sequence[str] = ("",)) -> str:
    """The picture as the text of an SVG file.

    Args:
        marks: One or more, of positive times.
        said: The picture in words.
        series: Their names, at most three; a single one gets no legend.
    """
    axes, low, high = _scales(marks)
    svg = Tree.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    added(svg, "title", said)
    added(svg, "style", STYLE)
    _add_axes(svg, axes, low, high)
    for number, title in enumerate(series if len(series) > 1 else ()):
        _add_mark(svg, WIDTH - RIGHT + 24, HEIGHT - BOTTOM - 12 - LINE * (len(series) - 1 - number), number)
        added(svg, "text", title, x=WIDTH - RIGHT + 36, y=HEIGHT - BOTTOM - 8 - LINE * (len(series) - 1 - number))
    for name, x, top, bottom in _spans(marks, axes):
        added(svg, "line", x1=x, x2=x, y1=top, y2=bottom, class_="span")
        for mark in marks:
            if (mark.name, axes(mark.milliseconds, mark.score)[0]) == (name, x):
                _add_mark(svg, *axes(mark.milliseconds, mark.score), mark.series, mark.said)
    for name, x, y, side in _label_positions(marks, axes):
        added(svg, "text", name, x=x, y=y + 4, text_anchor=side)
    return Tree.tostring(svg, encoding="unicode") + "\n"


class _Axes:
    """Where a time and a score lie: the time on a logarithmic axis."""

    def __init__(self, low: tuple[float, float], high: tuple[float, float]) -> None:
        self.low, self.high = low, high

    def __call__(self, time: float, score: float) -> tuple[float, float]:
        across = (math.log10(time) - self.low[0]) / (self.high[0] - self.low[0])
        up = (score - self.low[1]) / (self.high[1] - self.low[1])
        return round(LEFT + across * (WIDTH - LEFT - RIGHT), 1), round(
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1
        )


def _scales(marks: Sequence[Mark]) -> tuple[_Axes, tuple[float, float], tuple[float, float]]:
    times, scores = [mark.milliseconds for mark in marks], [mark.score for mark in marks]
    margin = max(max(scores) - min(scores), 0.02) * 0.15
    low = math.log10(min(times) / 1.3), min(scores) - margin
    high = math.log10(max(times) * 1.3), max(scores) + margin
    return _Axes(low, high), low, high


def _add_axes(svg: Tree.Element, axes: _Axes, low: tuple[float, float], high: tuple[float, float]) -> None:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    for value in tick_values(low[1], high[1], 5):
        y = axes(1, value)[1]
        added(svg, "line", x1=LEFT, x2=right, y1=y, y2=y, class_="grid")
        added(svg, "text", f"{value:g}", x=LEFT - 8, y=y + 4, text_anchor="end", class_="tick")
    for value in (base * 10**power for power in range(-2, 6) for base in (1, 2, 3, 5, 7)):
        if low[0] <= math.log10(value) <= high[0]:
            x = axes(value, low[1])[0]
            added(svg, "line", x1=x, x2=x, y1=TOP, y2=bottom, class_="grid")
            added(svg, "text", f"{value:g}", x=x, y=bottom + 18, text_anchor="middle", class_="tick")
    added(svg, "line", x1=LEFT, x2=right, y1=bottom, y2=bottom, class_="axis")
    added(svg, "text", "mIoU", x=LEFT - 8, y=TOP - 8, text_anchor="end")
    added(svg, "text", "ms per image, network alone (p50)", x=(LEFT + right) / 2, y=HEIGHT - 12, text_anchor="middle")


def _spans(marks: Sequence[Mark], axes: _Axes) -> Iterator[tuple[str, float, float, float]]:
    """Name, x, top and bottom of every network's line; each once."""
    ends: dict[tuple[str, float], list[float]] = {}
    for mark in marks:
        x, y = axes(mark.milliseconds, mark.score)
        ends.setdefault((mark.name, x), []).append(y)
    for (name, x), heights in ends.items():
        yield name, x, min(heights), max(heights)


def _label_positions(marks: Sequence[Mark], axes: _Axes) -> Iterator[tuple[str, float, float, str]]:
    """Name, x, y and anchor: beside the highest mark of each network, moved down where a better one's name is in the
    way. What finds no room near its mark, above the axis, is not named; a pointer that rests on the mark is told.
    """
    taken: list[tuple[float, float, float]] = []
    for name, x, y, _ in sorted(_spans(marks, axes), key=lambda span: span[2]):
        width = len(name) * LETTER
        lowest, fits = min(y + MOVED * LINE, HEIGHT - BOTTOM), x + APART + width <= WIDTH
        left, right = (x + APART, x + APART + width) if fits else (x - APART - width, x - APART)
        while any(left < end and start < right and abs(y - other) < LINE for start, end, other in taken):
            y += LINE / 4
        if y <= lowest:
            taken.append((left, right, y))
            yield name, x + (APART if fits else -APART), y, "start" if fits else "end"


def _add_mark(parent: Tree.Element, x: float, y: float, series: int, said: str | None = None) -> None:
    mark = added(parent, "path", d=OUTLINES[series].format(x=x, y=y), class_=f"mark s{series}")
    if said is not None:
        added(mark, "title", said)
