"""Clouds of points as inline SVG: colour says the class, the mark says the domain.

All marks of one class and domain are one path, so that thousands of points are a small page; the page's style sheet can
then hide a domain or bring out a class without a script.
"""

from collections.abc import Sequence
from xml.etree import ElementTree as Tree

from markupsafe import Markup

from pipelines.printable import printable
from pipelines.report.feature_study import DOMAIN_TITLES
from pipelines.report.pictures import colour

SIDE = 400
"""Side of the view box; marks are measured in its units."""
MARGIN = 14
MARKS = {
    "source": "M{x} {y}h0",  # a dot: the round end of a line without length
    "translated": "M{x} {y}m0-2.9l2.7 4.7h-5.4z",
    "target": "M{x} {y}m-2.1-2.1l4.2 4.2m0-4.2l-4.2 4.2",
}
"""Path data of each domain's mark. They differ in outline and not only in size: some readers see no colours."""

Extent = tuple[float, float, float, float]
LETTER, LINE = 6.4, 14
"""Width of a label's letter and height of its line."""


def extent(points: Sequence[tuple[float, float]]) -> Extent:
    """(left, low, right, high) of a square about the points."""
    across, up = ([point[axis] for point in points] or [0.0] for axis in (0, 1))
    half = max(max(across) - min(across), max(up) - min(up)) / 2 or 1.0
    middle = (max(across) + min(across)) / 2, (max(up) + min(up)) / 2
    return middle[0] - half, middle[1] - half, middle[0] + half, middle[1] + half


def scatter(
    points: Sequence[tuple[float, float]],
    classes: Sequence[int],
    domains: Sequence[str],
    within: Extent,
    said: str,
    names: dict[int, str],
) -> Markup:
    """One cloud, its classes named where most of their points are.

    Args:
        points: (x, y).
        classes: Train id of each.
        domains: Domain of each.
        within: What part of the plane to show; panels that are to be compared share it.
        said: The picture in words.
        names: Classes to name in the picture, and how.
    """
    svg = Tree.Element("svg", {"class": "cloud", "viewBox": f"0 0 {SIDE} {SIDE}", "role": "img"})
    svg.set("aria-label", printable(said))
    positions = [_position(point, within) for point in points]
    for domain, mark in MARKS.items():
        for train_id in sorted(set(classes)):
            of = [
                position
                for position, i, name in zip(positions, classes, domains, strict=True)
                if (i, name) == (train_id, domain)
            ]
            if not of:
                continue
            path = "".join(mark.format(x=f"{x:.1f}", y=f"{y:.1f}") for x, y in of)
            attributes = {"d": path, "class": f"of-{domain} c-{train_id}", "style": f"--class:{colour(train_id)}"}
            Tree.SubElement(svg, "path", attributes)
    middles = {i: _middle(positions, classes, domains, i) for i in names if i in classes}
    free = _label_positions({i: (position, len(names[i])) for i, position in middles.items()})
    for train_id, middle in middles.items():
        x, y = free.get(train_id, middle)
        # What finds no room is written where it belongs and shown when its class is brought out.
        style = f"c-{train_id}" if train_id in free else f"c-{train_id} crowded"
        text = Tree.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}", "class": style})
        text.text = printable(names[train_id])
    return Markup(Tree.tostring(svg, encoding="unicode"))


def mark_key(domain: str) -> Markup:
    """A domain's mark by itself, for a legend."""
    path = MARKS[domain].format(x=5, y=5)
    return Markup(
        f'<svg class="mark" viewBox="0 0 10 10" width="18" height="18" role="img" aria-label="{DOMAIN_TITLES[domain]}">'
        f'<path d="{path}" class="of-{domain}"/></svg>'
    )


def _position(point: tuple[float, float], within: Extent) -> tuple[float, float]:
    left, low, right, high = within
    room = SIDE - 2 * MARGIN
    return MARGIN + (point[0] - left) / (right - left) * room, MARGIN + (high - point[1]) / (high - low) * room


def _middle(
    positions: Sequence[tuple[float, float]], classes: Sequence[int], domains: Sequence[str], train_id: int
) -> tuple[float, float]:
    """The mark of a class, of the target if it is there, that is nearest to the medians: never between two clouds."""
    of = [(position, name) for position, i, name in zip(positions, classes, domains, strict=True) if i == train_id]
    cloud = [position for position, name in of if name == "target"] or [position for position, _ in of]
    x, y = (sorted(position[axis] for position in cloud)[len(cloud) // 2] for axis in (0, 1))
    return min(cloud, key=lambda position: (position[0] - x) ** 2 + (position[1] - y) ** 2)


def _label_positions(labels: dict[int, tuple[tuple[float, float], int]]) -> dict[int, tuple[float, float]]:
    """Where labels can stand without covering each other, at most two lines from where they belong; some cannot.

    Args:
        labels: The position that a label belongs to, and its number of letters.
    """
    taken: list[tuple[float, float, float]] = []
    found: dict[int, tuple[float, float]] = {}
    for train_id, ((x, y), letters) in labels.items():
        half = letters * LETTER / 2
        x = min(max(x, half + 4), SIDE - half - 4)
        for lines in (0, -1, 1, -2, 2):
            line = y + lines * LINE
            clear = all(abs(x - there) > half + other + 4 or abs(line - level) >= LINE for there, level, other in taken)
            if clear and LINE / 2 < line < SIDE - LINE / 2:
                found[train_id] = x, line
                taken.append((x, line, half))
                break
    return found
