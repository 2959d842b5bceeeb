"""The tables of a comparison of variants, for pages and in Markdown: a variant per row, every seed shown."""

from collections.abc import Iterable

from pipelines.experiment.arms import REFERENCES, few_labels_name
from pipelines.printable import printable
from pipelines.report import markdown
from pipelines.report.figures import change, percent, score, significant
from pipelines.report.study import average, deviation
from pipelines.report.tables import spread
from pipelines.report.variants import BELOW, VariantResult, VariantStudy, title_of
from segment.class_groups import class_titles
from segment.classes import CLASS_NAMES

MEANS = {"mean_iou": "mIoU", "mean_iou_16": "mIoU 16", "mean_iou_13": "mIoU 13"}
"""Columns of means over classes, by the fields that hold them."""


def markdown_table(study: VariantStudy) -> str:
    """Tables in Markdown, each below a sentence: scores with a variant per row, and what `class_table`, `label_table`
    and `figure_table` hold; then the command, machine and date that they come from.
    """
    scores = [["", *(f"seed {seed}" for seed in study.seeds()), "mean ± std", "over source-only", "gap closed"]]
    scores += [score_row(study, name) for name in study.names() if study.has_scores(name)]
    said = markdown.escaped
    parts = [said(f"Mean IoU on {study.validation}. {study.brackets_in_words()}"), markdown.table(scores)]
    parts += map(said, filter(None, [study.power_in_words(), study.stopped_in_words()]))
    parts += ["IoU of each class in percent, mean over seeds:", markdown.table(class_table(study))]
    if study.budgets():
        parts.append(study.labels_in_words())
        parts.append(markdown.table(label_table(study)))
    if figures := figure_table(study):
        parts += ["The translated frames, mean ± std over seeds:", markdown.table(figures)]
    parts += map(said, filter(None, [study.starts_in_words()]))
    return printable("\n\n".join([*parts, study.origin()]) + "\n")


def score_row(study: VariantStudy, name: str) -> list[str]:
    """Title, mean IoU of every seed, mean and deviation over them, what is won over source-only, share of the gap."""
    results = {result.seed: result for result in study.of(name) if result.mean_iou is not None}
    without = {seed: "collapsed" if f"{name}, seed {seed}" in study.stopped else "not run" for seed in study.seeds()}
    scores = [_with_interval(results[seed]) if seed in results else without[seed] for seed in study.seeds()]
    mean = spread(list(study.scores(name).values())) + study.of_seeds(len(results))
    return [title_of(name), *scores, mean, _won(study, name), _closed(study, name)]


def _with_interval(result: VariantResult) -> str:
    if result.interval is None:
        return score(result.mean_iou)
    low, high = map(score, result.interval)
    return f"{score(result.mean_iou)} [{low}, {high}]"


def _closed(study: VariantStudy, name: str) -> str:
    """The share of the gap with its interval: "38 % [21 %, 50 %]"."""
    gap = study.gap(name) if name not in REFERENCES else None
    if gap is None or name not in study.gap_intervals:
        return "" if gap is None else percent(gap)
    low, high = map(percent, study.gap_intervals[name])
    return f"{percent(gap)} [{low}, {high}]"


def _won(study: VariantStudy, name: str) -> str:
    difference = None if name == "source_only" else study.difference(name)
    if difference is None:
        return ""
    return change(difference[0]) + (f" {BELOW}" if study.is_shown(name) is False else "")


def row_title(study: VariantStudy, name: str) -> str:
    """What a row of means over seeds is called: which says so where it has fewer seeds than there are."""
    return title_of(name) + study.of_seeds(len(study.scores(name)))


def class_table(study: VariantStudy) -> list[list[str]]:
    """A variant per row, a class per column: those that count for any; then the means over classes that there are."""
    rows = [name for name in study.names() if study.has_scores(name)]
    ious = {name: [result.iou for result in study.of(name) if result.iou is not None] for name in rows}
    counted = [k for k in range(len(CLASS_NAMES)) if any(iou[k] is not None for one in ious.values() for iou in one)]
    titles = class_titles(study.groups)
    means = [mean for mean in MEANS if any(getattr(one, mean) is not None for name in rows for one in study.of(name))]
    table = [["", *(titles[k] for k in counted), *(MEANS[mean] for mean in means)]]
    for name in rows:
        classes = [_percent_of(one[k] for one in ious[name]) for k in counted]
        over_classes = [_percent_of(getattr(one, mean) for one in study.of(name)) for mean in means]
        table.append([row_title(study, name), *classes, *over_classes])
    return table


def _percent_of(values: Iterable[float | None]) -> str:
    """The mean in percent with one digit, as the field's tables have it; empty where there is none."""
    found = [value for value in values if value is not None]
    return f"{100 * average(found):.1f}" if found else ""


def label_table(study: VariantStudy) -> list[list[str]]:
    """A method per row, a number of labelled frames per column: the labels alone, then every family.

    With all labels the network that learns from nothing else is the oracle.
    """
    budgets = study.budgets()
    table = [["", *(str(labels) if labels else "all" for labels in budgets)]]
    alone = [list(study.scores("oracle" if labels == 0 else few_labels_name(labels)).values()) for labels in budgets]
    rows = {"labelled target frames alone": alone}
    rows |= {family: [study.with_labels(family, labels) for labels in budgets] for family in study.families()}
    for title, scores in rows.items():
        cells = [spread(values) + study.of_seeds(len(values)) if values else "not run" for values in scores]
        table.append([title_of(title), *cells])
    return table


def figure_table(study: VariantStudy) -> list[list[str]]:
    """A variant with translated frames of its own per column, a measure of these per row; then how long training the
    translators took. Empty without such a variant.
    """
    measured = {one.name for one in study.results if one.figures or one.translator_seconds is not None}
    variants = [name for name in study.names() if name in measured - set(REFERENCES)]
    rows = {
        title: [[one.figures[title] for one in study.of(name) if title in one.figures] for name in variants]
        for title in study.figure_titles()
    }
    times = [[one.translator_seconds for one in study.of(name)] for name in variants]
    minutes = [[seconds / 60 for seconds in row if seconds is not None] for row in times]
    if any(minutes):
        rows["minutes of training the translator"] = minutes
    table = [["", *map(title_of, variants)]]
    table += [[title, *(_figure(study, values) for values in row)] for title, row in rows.items()]
    return table if variants else []


def _figure(study: VariantStudy, values: list[float]) -> str:
    if not values:
        return ""
    beside = deviation(values)
    mean = significant(average(values)) + ("" if beside is None else f" ± {significant(beside, 2)}")
    return mean + study.of_seeds(len(values))
