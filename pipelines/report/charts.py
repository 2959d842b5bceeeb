"""The charts of the report as inline SVG, drawn without a plotting library.

Horizontal positions are percentages and vertical ones pixels, so a chart fills any width while its text keeps its
size; tick labels stand in the padding around the drawing. Elements are built as a tree and then written, so that no
name from the data can become markup. Colours are CSS classes of `style.html` and follow the light and dark theme.
"""

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as Tree

from markupsafe import Markup

from pipelines.experiment.arms import COMPARED, REFERENCES
from pipelines.printable import printable
from pipelines.report.figures import amount, score
from pipelines.report.study import Study, average

CELL = 30
"""Side of a confusion matrix cell, in units of its view box."""

TITLE_LETTERS = 28
"""Letters in a line of a class's title beside a confusion matrix: merged classes have names of several lines."""
TITLE_LINE = 12
"""From one line of a title to the next, in units of the view box."""

MOST_POINTS = 240
"""Points drawn of one curve: more cannot be told apart on a screen and would make a large page."""


SERIES = 6
"""Colours for curves that belong to no arm; `style.html` defines `.series-0` and so on."""


def series_style(index: int) -> str:
    """The CSS class of the curve of this number, from 0; after the last colour comes the first again."""
    return f"series-{index % SERIES}"


@dataclass(frozen=True)
class Line:
    """One curve: what it is, the CSS class that colours it, and its (step, value) points; NaN leaves a hole."""

    label: str
    style: str
    points: list[tuple[int, float]]


@dataclass(frozen=True)
class Scored:
    """A row of `scores_chart`: title, the CSS class that colours it, and (seed, mean IoU, interval) of each seed."""

    title: str
    style: str
    results: list[tuple[int, float, tuple[float, float]]]

    @property
    def mean(self) -> float:
        """Over seeds."""
        return average([mean_iou for _, mean_iou, _ in self.results])


def gap_chart(study: Study) -> Markup:
    """Every seed's mean IoU with its interval, an arm per row; dashed lines mark the two ends of the gap."""
    rows = [
        Scored(study.titles()[arm], arm, [(one.seed, one.mean_iou, one.interval) for one in study.of(arm)])
        for arm in COMPARED
    ]
    return scores_chart(rows, "Mean IoU of the three arms, each seed with its 95 % interval")


def scores_chart(rows: list[Scored], said: str) -> Markup:
    """Every seed's mean IoU with its interval, by rows; dashed lines mark the means of source-only and oracle.

    Args:
        rows: From top to bottom; those of the styles "source_only" and "oracle" are the ends of the gap.
        said: What it is, for those who do not see it.
    """
    found = [end for row in rows for _, mean, interval in row.results for end in (*interval, mean)]
    ends = [end for end in found if math.isfinite(end)] or [0.0, 1.0]
    margin = max(max(ends) - min(ends), 0.02) * 0.06
    place, marks = _axis(max(min(ends) - margin, 0.0), min(max(ends) + margin, 1.0), 6)
    tops = list(itertools.accumulate((34 + 16 * max(len(row.results), 1) for row in rows), initial=0))
    height = tops[-1]
    svg = _drawing(height, said, "plot gap")
    for mark in marks:
        added(svg, "line", x1=place(mark), x2=place(mark), y1=0, y2=height, class_="grid")
        added(svg, "text", f"{mark:g}", x=place(mark), y=height + 18, class_="tick middle")
    for row in rows:
        if row.style in REFERENCES and math.isfinite(row.mean):
            added(svg, "line", x1=place(row.mean), x2=place(row.mean), y1=0, y2=height, class_=f"end {row.style}")
    for top, row in zip(tops, rows, strict=False):
        title = added(svg, "text", row.title, x="0", y=top + 19, class_=f"arm {row.style}")
        added(title, "tspan", score(row.mean), dx=8, class_="mean")
        for line, (seed, mean_iou, (low, high)) in enumerate(row.results):
            y = top + 36 + 16 * line
            mark = added(svg, "g", class_=row.style)
            added(mark, "title", f"{row.title}, seed {seed}: {score(mean_iou)} [{score(low)}, {score(high)}]")
            if math.isfinite(low + high):
                added(mark, "line", x1=place(low), x2=place(high), y1=y, y2=y, class_="whisker")
            if math.isfinite(mean_iou):
                added(mark, "circle", cx=place(mean_iou), cy=y, r=5, class_="dot")
    return _written(svg)


def class_bars(study: Study, group: list[int]) -> Markup:
    """The bars of one class on a scale of 0..1: the mean over seeds of each arm, a thin line from lowest to highest."""
    means = {arm: average(study.group_iou(arm, group)) for arm in COMPARED}
    said = ", ".join(f"{study.names()[arm]} {score(mean)}" for arm, mean in means.items())
    svg = _scale_of_bars(32, f"IoU of {study.group_title(group)}: {said}")
    for index, (arm, mean) in enumerate(means.items()):
        if not math.isfinite(mean):
            continue
        y = 3 + 9 * index
        added(svg, "rect", x=0, y=y, width=_percentage(mean), height=7, rx=1.5, class_=f"bar {arm}")
        values = [value for value in study.group_iou(arm, group) if value is not None]
        if len(values) > 1:
            ends = {"x1": _percentage(min(values)), "x2": _percentage(max(values))}
            added(svg, "line", **ends, y1=y + 3.5, y2=y + 3.5, class_="range")
    return _written(svg)


def confusion_heatmap(study: Study, arm: str) -> Markup:
    """Where the pixels of each class went, in percent of the class: a row per class in the labels, void last."""
    titles = [study.group_title(group) for group in study.class_groups()]
    return heatmap(titles, study.confusion(arm), f"Confusion matrix of the {study.names()[arm]} arm")


def heatmap(titles: list[str], matrix: list[list[int]], said: str) -> Markup:
    """A confusion matrix in percent of its rows; classes without a labelled pixel have no row, and void comes last.

    Args:
        titles: Of K classes.
        matrix: (K or K + 1, K + 1) counts, labels by rows; the last column is void.
        said: What it is, for those who do not see it.
    """
    titles = [*titles, "void"]
    columns = [j for j in range(len(titles)) if j < len(titles) - 1 or any(row[j] for row in matrix)]
    rows = [i for i, counts in enumerate(matrix) if sum(counts)]
    lines = [textwrap.wrap(title, TITLE_LETTERS) for title in titles]
    letters = [max(map(len, title), default=0) for title in lines]
    left, top = 8 + 6.4 * max(letters), 12 + 5.6 * max(letters)
    # A turned title leans over the columns to its right, the last one's over none.
    leaning = [left + CELL * (x + 0.5) + 3.2 * letters[j] + TITLE_LINE for x, j in enumerate(columns)]
    width, height = max([left + CELL * len(columns) + 8, *leaning]), top + CELL * len(rows) + 4
    svg = _drawing(None, f"{said}, rows normalised", "heatmap")
    svg.set("viewBox", f"0 0 {width:.0f} {height:.0f}")
    svg.set("style", f"max-width:{width * 1.15:.0f}px")
    for x, j in enumerate(columns):
        turned = f"translate({left + CELL * (x + 0.5) + 4:.1f} {top - 8:.1f}) rotate(-60)"
        _add_title(svg, lines[j], 0, 0, transform=turned, class_="name")
    for y, i in enumerate(rows):
        _add_title(svg, lines[i], left - 8, top + CELL * (y + 0.5) + 4, class_="name end")
        for x, j in enumerate(columns):
            share = matrix[i][j] / sum(matrix[i])
            _cell(svg, left + CELL * x, top + CELL * y, share, f"{titles[i]} seen as {titles[j]}")
    return _written(svg)


def bar(said: str, value: float | None, style: str = "translated") -> Markup:
    """One bar on a scale of 0..1, with marks at every quarter; none where there is no value."""
    svg = _scale_of_bars(18, f"{said}: {score(value)}")
    if value is not None and math.isfinite(value):
        added(svg, "rect", x=0, y=4, width=_percentage(value), height=10, rx=1.5, class_=f"bar {style}")
    return _written(svg)


def reliability_diagram(bins: list[dict[str, Any]], height: int = 260) -> Markup:
    """How often pixels were right (bars) by how sure the network was of them; on the dashed line it can be believed.

    Args:
        bins: Of equal width from 0 to 1, each with "pixels", "accuracy", "confidence" and its upper end "up_to".
        height: In pixels.
    """
    svg = _drawing(height, "Share of right pixels by the network's confidence", "plot")
    total = sum(one["pixels"] for one in bins) or 1
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = height * (1 - tick)
        added(svg, "line", x1="0", x2="100%", y1=y, y2=y, class_="grid")
        added(svg, "text", f"{tick:g}", x=-8, y=y + 4, class_="tick right")
        added(svg, "text", f"{tick:g}", x=_percentage(tick), y=height + 19, class_="tick middle")
    low = 0.0
    for one in bins:
        if one["pixels"]:
            right = one["accuracy"]
            mark = added(svg, "g", class_="translated", fill_opacity="0.75")
            share = f"{one['pixels'] / total * 100:.1f} % of pixels"
            added(mark, "title", f"Confidence {score(one['confidence'])}, right {score(right)}: {share}")
            place = {"x": _percentage(low + 0.003), "width": _percentage(one["up_to"] - low - 0.006)}
            added(mark, "rect", **place, y=height * (1 - right), height=height * right, class_="bar translated")
        low = one["up_to"]
    added(svg, "line", x1="0", x2="100%", y1=height, y2="0", class_="end oracle")
    return _written(svg)


def line_chart(lines: list[Line], said: str, height: int = 240) -> Markup:
    """Curves over training steps, the value axis from zero (or lower where values are negative)."""
    thinned = [(line, thin(line.points)) for line in lines]
    points = [point for _, curve in thinned for point in curve if math.isfinite(point[1])]
    if not points:
        return Markup('<p class="quiet">No curve was recorded.</p>')
    visited = [step for line in lines for step, _ in line.points]
    across, steps = _axis(min(visited), max(visited), 5)
    up, values = _axis(min(0.0, *(value for _, value in points)), max(value for _, value in points), 4)
    svg = _drawing(height, said, "plot")
    for value in values:
        y = height * (1 - float(up(value).rstrip("%")) / 100)
        added(svg, "line", x1="0", x2="100%", y1=y, y2=y, class_="grid")
        added(svg, "text", f"{value:g}", x=-8, y=y + 4, class_="tick right")
    for step in filter(float.is_integer, map(float, steps)):
        added(svg, "line", x1=across(step), x2=across(step), y1=height, y2=height + 5, class_="axis")
        added(svg, "text", amount(step, 0), x=across(step), y=height + 19, class_="tick middle")
    added(svg, "line", x1="0", x2="100%", y1=height, y2=height, class_="axis")
    box = {"viewBox": "0 0 100 100", "preserveAspectRatio": "none", "overflow": "visible"}  # a dot may lie on its edge
    inner = added(svg, "svg", width="100%", height=height, **box)
    for line, curve in thinned:
        drawn = _paths([(float(across(x).rstrip("%")), 100 - float(up(y).rstrip("%"))) for x, y in curve])
        for path, style in zip(drawn, ("line", "line alone"), strict=True):
            if path:
                added(added(inner, "path", d=path, class_=f"{style} {line.style}"), "title", line.label)
    return _written(svg)


def thin(points: list[tuple[int, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most `most` points: neighbours are averaged, so that a noisy curve keeps its level and not its luck.

    NaN stays visible: an average with a NaN in it is NaN, and the line is broken there.
    """
    if len(points) <= most:
        return [(float(step), float(value)) for step, value in points]
    cuts = [round(index * len(points) / most) for index in range(most + 1)]
    bins = [points[start:end] for start, end in itertools.pairwise(cuts)]
    return [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in bins]


def tick_values(low: float, high: float, count: int) -> list[float]:
    """Round numbers between two ends, about `count` of them, in steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(count, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def _axis(low: float, high: float, count: int) -> tuple[Callable[[float], str], list[float]]:
    """A function from a value to its place in percent of the drawing, and the values to mark."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    return (lambda value: f"{(value - low) / (high - low) * 100:.3f}%"), tick_values(low, high, count)


def _scale_of_bars(height: int, said: str) -> Tree.Element:
    """A drawing of a scale of 0..1 with marks at every quarter."""
    svg = _drawing(height, said, "bars")
    for mark in (25, 50, 75, 100):
        added(svg, "line", x1=f"{mark}%", x2=f"{mark}%", y1=0, y2=height, class_="grid")
    return svg


def _percentage(share: float) -> str:
    return f"{share * 100:.2f}%"


def _add_title(svg: Tree.Element, lines: Sequence[str], x: float, y: float, **attributes: object) -> None:
    """A title of one or more lines, their middle at y."""
    title = added(svg, "text", **attributes)
    for number, line in enumerate(lines):
        added(title, "tspan", line, x=f"{x:.1f}", y=f"{y + TITLE_LINE * (number - (len(lines) - 1) / 2):.1f}")


def _cell(svg: Tree.Element, x: float, y: float, share: float, meaning: str) -> None:
    cell = added(svg, "g", class_="dark" if share > 0.55 else "light")
    added(cell, "title", f"{meaning}: {share * 100:.1f} %")
    added(cell, "rect", x=f"{x + 1:.1f}", y=f"{y + 1:.1f}", width=CELL - 2, height=CELL - 2, rx=3, class_="base")
    if share > 0.001:
        place = {"x": f"{x + 1:.1f}", "y": f"{y + 1:.1f}", "width": CELL - 2, "height": CELL - 2, "rx": 3}
        added(cell, "rect", **place, class_="heat", fill_opacity=f"{share**0.7:.3f}")
    if share >= 0.005:
        added(cell, "text", f"{share * 100:.0f}", x=f"{x + CELL / 2:.1f}", y=f"{y + CELL / 2 + 4:.1f}", class_="middle")


def _paths(points: Iterable[tuple[float, float]]) -> tuple[str, str]:
    """SVG path data through the points, lifted where a value is not finite; and of the points that stand alone there.

    Each of these is a line without length, which the round ends of the page's style make a dot.
    """
    curve, alone = [], []
    for finite, together in itertools.groupby(points, lambda point: math.isfinite(point[1])):
        places = [f"{x:.2f} {y:.2f}" for x, y in together]
        if finite and len(places) > 1:
            curve.append(f"M{'L'.join(places)}")
        elif finite:
            alone.append(f"M{places[0]}h0")
    return "".join(curve), "".join(alone)


def _drawing(height: int | None, said: str, style: str) -> Tree.Element:
    svg = Tree.Element("svg", {"class": style, "role": "img", "aria-label": printable(said), "width": "100%"})
    if height is not None:
        svg.set("height", str(height))
    return svg


def added(parent: Tree.Element, tag: str, text: str | None = None, **attributes: object) -> Tree.Element:
    """A child element; `class_` and `fill_opacity` become `class` and `fill-opacity`."""
    named = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
    element = Tree.SubElement(parent, tag, named)
    element.text = None if text is None else printable(text)
    return element


def _written(svg: Tree.Element) -> Markup:
    return Markup(Tree.tostring(svg, encoding="unicode"))
