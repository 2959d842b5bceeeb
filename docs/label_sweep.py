"""Draw how far the task loss gets with how many labels, from a finished `sim2real variants` with task_N variants.

.venv/bin/python docs/label_sweep.py runs/toyworld/variants.json docs/results/label_sweep_toyworld.svg
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree import ElementTree as Tree

TITLE = "source-only net on frames translated to source, mIoU"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 360, 56, 44, 16, 190
INK, GUIDED, QUIET = "#333", "#0b6e4f", "#999"


def main() -> None:
    """Read the record, write the picture."""
    record, output = Path(sys.argv[1]), Path(sys.argv[2])
    output.write_text(picture(json.loads(record.read_text())["results"]), encoding="utf-8")


def picture(results: list[dict]) -> str:
    """The plot as SVG: a dot for every seed, a line through the means, and what is had without guidance beside it."""
    guided = {int(match[1]): scores(results, match[0]) for match in task_variants(results)}
    lines = {
        "as many steps, no guidance": scores(results, "unguided_longer"),
        "unguided": scores(results, "unguided"),
        "no translation": [one["mean_iou"] for one in results if one["name"] == "source_only"],
        "oracle": [one["mean_iou"] for one in results if one["name"] == "oracle"],
    }
    highest = max(value for values in (*guided.values(), *lines.values()) for value in values) * 1.08
    counts = sorted(guided)

    def across(index: float) -> float:
        return LEFT + (index + 0.5) * (WIDTH - LEFT - RIGHT) / len(counts)

    def up(value: float) -> float:
        return HEIGHT - BOTTOM - value / highest * (HEIGHT - BOTTOM - TOP)

    svg = Tree.Element("svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", width=str(WIDTH))
    Tree.SubElement(svg, "rect", width="100%", height="100%", fill="white")
    for tenth in range(int(highest * 20) + 1):
        value = tenth / 20
        line(svg, LEFT, up(value), WIDTH - RIGHT, up(value), "#e4e4e4")
        text(svg, LEFT - 8, up(value) + 4, f"{value:.2f}", INK, "end")
    for (title, values), place in zip(lines.items(), spaced(up(mean(v)) for v in lines.values()), strict=True):
        line(svg, LEFT, up(mean(values)), WIDTH - RIGHT, up(mean(values)), QUIET, dashes="5 4")
        text(svg, WIDTH - RIGHT + 6, place + 4, f"{title} {mean(values):.3f}", INK)
    path = " ".join(f"{across(i):.1f},{up(mean(guided[n])):.1f}" for i, n in enumerate(counts))
    Tree.SubElement(svg, "polyline", points=path, fill="none", stroke=GUIDED, attrib={"stroke-width": "2"})
    for index, count in enumerate(counts):
        for value in guided[count]:
            Tree.SubElement(svg, "circle", cx=f"{across(index):.1f}", cy=f"{up(value):.1f}", r="4", fill=GUIDED)
        text(svg, across(index), HEIGHT - BOTTOM + 18, str(count), INK, "middle")
    text(svg, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "labelled target frames", INK, "middle")
    return Tree.tostring(svg, encoding="unicode") + "\n"


def task_variants(results: list[dict]) -> list[re.Match]:
    """The names task_N, each once."""
    names = dict.fromkeys(result["name"] for result in results)
    return [match for name in names if (match := re.fullmatch(r"task_(\d+)", name))]


def scores(results: list[dict], name: str) -> list[float]:
    """The source-only net's score behind a variant's translator, of every seed."""
    return [one["figures"][TITLE] for one in results if one["name"] == name]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def spaced(places: Iterable[float], least: float = 15) -> Iterator[float]:
    """Places for the lines' titles that do not overlap, in the order given."""
    places = list(places)
    moved, last = dict.fromkeys(places, 0.0), -least
    for place in sorted(places):
        moved[place] = last = max(place, last + least)
    return (moved[place] for place in places)


def line(svg: Tree.Element, x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "none") -> None:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    Tree.SubElement(svg, "line", ends | {"stroke": colour, "stroke-dasharray": dashes})


def text(svg: Tree.Element, x: float, y: float, words: str, colour: str, anchor: str = "start") -> None:
    style = {"fill": colour, "text-anchor": anchor, "font-family": "sans-serif", "font-size": "12"}
    Tree.SubElement(svg, "text", {"x": f"{x:.1f}", "y": f"{y:.1f}"} | style).text = words


if __name__ == "__main__":
    main()
