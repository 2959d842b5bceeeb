"""A comparison of variants as one HTML page: every seed beside the gap, classes, numbers of labels.

Built like the report of a comparison (`page.py`): one file, everything escaped, no address fetched.
"""

from collections.abc import Collection
from pathlib import Path

from pipelines.experiment.arms import REFERENCES, few_labels_name
from pipelines.report.charts import Line, Scored, series_style
from pipelines.report.figures import percent
from pipelines.report.pages.templates import rendered, write_page
from pipelines.report.study import average
from pipelines.report.variant_tables import class_table, figure_table, label_table, row_title, score_row
from pipelines.report.variants import VariantStudy, title_of


def write_variants_page(study: VariantStudy, path: Path) -> None:
    """Write the page to `path`, in one piece or not at all; StorageError if the disk refuses it."""
    write_page(render_variants(study), path)


def render_variants(study: VariantStudy) -> str:
    """The page as HTML text."""
    names = [name for name in study.names() if study.has_scores(name)]
    return rendered(
        "variants.html",
        study=study,
        headline=headline(study),
        rows=[scored(study, name) for name in names],
        scores=[score_row(study, name) for name in names],
        classes=emphasised(class_table(study), [row_title(study, name) for name in names if is_aside(study, name)]),
        every_seed=all(map(study.is_whole, names)),
        labels=label_table(study) if study.budgets() else [],
        curves=label_curves(study),
        figures=figure_table(study),
    )


def headline(study: VariantStudy) -> str:
    """One sentence: which variant closed most of the gap, how much of it, and which leads of it may be chance."""
    gaps = {name: study.gap(name) for name in study.contestants()}
    closed = {name: gap for name, gap in gaps.items() if gap is not None}
    if not closed:
        return "No variant has a share of the gap that could be told."
    best, *others = sorted(closed, key=closed.__getitem__, reverse=True)
    share, leads = f"{title_of(best)} closed {percent(closed[best])}", closed[best] > 0
    if leads:
        said = f"{share} of the gap{f', the most of {len(closed)} variants' if others else ''}"
    else:
        said = f"No variant closed any of the gap: {share}{f', the most of {len(closed)}' if others else ''}"
    worse = [name for name, gap in closed.items() if gap < 0]
    below = f"; {len(worse)} of {len(closed)} ended below source-only" if worse else ""
    if worse and study.seed_spread is not None:
        below += f", {sum(map(study.is_shown, worse)) or 'none'} of them by as much as can be shown"
    return f"{said}{below}{_doubt(study, best, others, leads)}."


def _doubt(study: VariantStudy, best: str, others: list[str], leads: bool) -> str:
    """What the sentence ends in: over which rows the best one's lead, where it has any, may be chance."""
    if study.is_shown(best) is None:
        unknown = "one seed tells" if len(study.seeds()) == 1 else "scores of single seeds tell"
        return f"; {unknown} nothing from chance"
    near = [title_of(name) for name in others if not is_ahead(study, best, name)]
    more = f" and {len(near) - 1} more" if len(near) > 1 else ""
    over = ["source-only"] * (leads and not is_ahead(study, best, "source_only"))
    over += [f"{near[0]}{more}"] if near else []
    return f"; its lead over {' and over '.join(over)} is less than can be shown here" if over else ""


def is_ahead(study: VariantStudy, name: str, other: str) -> bool:
    """Whether a row is ahead of another, over the seeds that both have, by as much as can be shown here."""
    difference = study.difference(name, other)
    return difference is not None and difference[0] > 0 and bool(study.is_shown(name, other))


def is_aside(study: VariantStudy, name: str) -> bool:
    """Whether a row's means are not held beside the others': the oracle's, and those that miss a seed."""
    return name == "oracle" or not study.is_whole(name)


def scored(study: VariantStudy, name: str) -> Scored:
    """A variant's row of the chart: its seeds, and the colour of what it is."""
    found = [(one.seed, one.mean_iou, one.interval) for one in study.of(name)]
    results = [(seed, mean, interval) for seed, mean, interval in found if mean is not None and interval is not None]
    return Scored(title_of(name), name if name in REFERENCES else "translated", results)


def emphasised(table: list[list[str]], aside: Collection[str]) -> list[list[tuple[str, bool]]]:
    """A table with, in each column of numbers, its highest marked; a class that no row ever finds has no best.

    Args:
        table: Headings, then rows that begin with their titles.
        aside: Titles of the rows that are no contestants.
    """
    marked = [[(cell, False) for cell in row] for row in table]
    lines = [line for line, row in enumerate(table) if line and row[0] not in aside]
    for column in range(1, len(table[0])):
        values = {line: float(table[line][column]) for line in lines if table[line][column]}
        best = max(values.values(), default=0.0)
        for line, value in values.items():
            marked[line][column] = (table[line][column], value == best > 0)
    return marked


def label_curves(study: VariantStudy) -> list[Line]:
    """Mean IoU by the number of labelled target frames, a curve for each way of using them; "all" is no number."""
    budgets = [labels for labels in study.budgets() if labels]
    if len(budgets) < 2:
        return []
    alone = [(n, [one.mean_iou for one in study.of(few_labels_name(n)) if one.mean_iou is not None]) for n in budgets]
    curves = {"labelled target frames alone": alone}
    curves |= {family: [(n, study.with_labels(family, n)) for n in budgets] for family in study.families()}
    return [
        Line(title_of(title), series_style(index), [(n, average(values)) for n, values in points if values])
        for index, (title, points) in enumerate(curves.items())
    ]
