"""A comparison of variants as one HTML page: every seed beside the gap, classes, numbers of labels.

Built like the report of a comparison (`page.py`): one file, everything escaped, no address fetched.
"""

from pathlib import Path

from pipelines.data.disk.files import write_atomically
from pipelines.experiment.arms import REFERENCES
from pipelines.report.charts import Line, Scored
from pipelines.report.figures import percent
from pipelines.report.pages.templates import rendered
from pipelines.report.study import average
from pipelines.report.variants import VariantStudy, class_table, label_table, score_row, title_of

SERIES = 6
"""Colours for curves."""


def write_variants_page(study: VariantStudy, path: Path) -> None:
    """Write the page to `path`, in one piece or not at all; StorageError if the disk refuses it."""
    write_atomically(path, render_variants(study).encode("utf-8", "replace"))


def render_variants(study: VariantStudy) -> str:
    """The page as HTML text."""
    names = [name for name in study.names() if study.has_scores(name)]
    return rendered(
        "variants.html",
        study=study,
        headline=headline(study),
        rows=[scored(study, name) for name in names],
        scores=[score_row(study, name) for name in names],
        classes=emphasised(class_table(study)),
        labels=label_table(study) if study.budgets() else [],
        curves=label_curves(study),
    )


def headline(study: VariantStudy) -> str:
    """One sentence: which variant closed most of the gap, and how much of it."""
    gaps = {name: study.gap(name) for name in study.contestants()}
    closed = {name: gap for name, gap in gaps.items() if gap is not None}
    if not closed:
        return "No variant has a share of the gap that could be told."
    best = max(closed, key=closed.__getitem__)
    worse = [name for name, gap in closed.items() if gap < 0]
    below = f"; {len(worse)} of {len(closed)} ended below source-only" if worse else ""
    if worse and study.seed_spread is not None:
        below += f", {sum(map(study.is_shown, worse)) or 'none'} of them by more than chance"
    unknown = "one seed tells" if len(study.seeds()) == 1 else "scores of single seeds tell"
    doubt = {None: f"; {unknown} nothing from chance", False: "; and its lead may be chance", True: ""}
    return (
        f"{title_of(best)} closed {percent(closed[best])} of the gap, the most of {len(closed)} variants"
        f"{below}{doubt[study.is_shown(best)]}."
    )


def scored(study: VariantStudy, name: str) -> Scored:
    """A variant's row of the chart: its seeds, and the colour of what it is."""
    found = [(one.seed, one.mean_iou, one.interval) for one in study.of(name)]
    results = [(seed, mean, interval) for seed, mean, interval in found if mean is not None and interval is not None]
    return Scored(title_of(name), name if name in REFERENCES else "translated", results)


def emphasised(table: list[list[str]]) -> list[list[tuple[str, bool]]]:
    """A table with, in each column of numbers, its highest marked; the oracle, which comes last, is no contestant.

    A class that none of them ever finds has no best.
    """
    marked = [[(cell, False) for cell in row] for row in table]
    for column in range(1, len(table[0])):
        values = [float(row[column]) if row[column] else float("-inf") for row in table[1:-1]]
        if values and max(values) > 0:
            for line, value in enumerate(values, 1):
                marked[line][column] = (table[line][column], value == max(values))
    return marked


def label_curves(study: VariantStudy) -> list[Line]:
    """Mean IoU by the number of labelled target frames, a curve for each way of using them; "all" is no number."""
    budgets = [labels for labels in study.budgets() if labels]
    if len(budgets) < 2:
        return []
    alone = [(n, [one.mean_iou for one in study.of(f"few_labels_{n}") if one.mean_iou is not None]) for n in budgets]
    curves = {"labelled target frames alone": alone}
    curves |= {family: [(n, study.with_labels(family, n)) for n in budgets] for family in study.families()}
    return [
        Line(title_of(title), f"series-{index % SERIES}", [(n, average(values)) for n, values in points if values])
        for index, (title, points) in enumerate(curves.items())
    ]
