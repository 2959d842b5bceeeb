"""The gap-closed table as plain text for the terminal and as Markdown for a README.

Both show every seed, because a mean alone hides the spread that decides whether a difference is one.
"""

from pipelines.experiment.arms import COMPARED
from pipelines.printable import printable
from pipelines.report import markdown
from pipelines.report.columns import in_columns
from pipelines.report.figures import amount, percent, score
from pipelines.report.study import ArmResult, Study, average, deviation
from pipelines.report.wording import gap_in_words, headline, speed, starts_in_words


def format_table(study: Study) -> str:
    """The table for the terminal: an arm per row, a seed per column, then gap closed and speed; ends in a newline."""
    rows = [_headings(study), *_score_rows(study), _gap_row(study)]
    rule = ["-" * max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = in_columns([rows[0], rule, *rows[1:-1], rule, rows[-1]], left=range(len(rule)))
    title = f"{study.validation}: mean IoU [95 % interval over {study.interval_over}]"
    return printable("\n".join([headline(study), "", title, *lines, "", gap_in_words(study), _latency(study), ""]))


def markdown_table(study: Study) -> str:
    """The table for a README, followed by what it comes from; ends in a newline."""
    rows = [_headings(study), *_score_rows(study), _gap_row(study)]
    said = [
        f"Mean IoU on {study.validation}, in brackets the 95 % bootstrap interval over {study.interval_over}.",
        _latency(study),
        starts_in_words(study),
    ]
    below = [*(markdown.escaped(sentence) for sentence in said if sentence), study.origin()]
    return printable("\n".join([markdown.table(rows), "", *below, ""]))


def spread(values: list[float]) -> str:
    """'0.412 ± 0.006', the mean and the standard deviation over seeds; the mean alone for one seed."""
    beside = deviation(values)
    return score(average(values)) + ("" if beside is None else f" ± {score(beside)}")


def interval(result: ArmResult) -> str:
    """'[0.398, 0.426]'."""
    low, high = result.interval
    return f"[{score(low)}, {score(high)}]"


def _headings(study: Study) -> list[str]:
    return ["", *(f"seed {seed}" for seed in study.seeds()), "mean ± std"]


def _score_rows(study: Study) -> list[list[str]]:
    rows = []
    for arm in COMPARED:
        results = [study.result(arm, seed) for seed in study.seeds()]
        cells = [f"{score(result.mean_iou)} {interval(result)}" if result else "not run" for result in results]
        rows.append([study.names()[arm], *cells, spread([result.mean_iou for result in study.of(arm)])])
    return rows


def _gap_row(study: Study) -> list[str]:
    gaps = study.gap_per_seed()
    cells = [percent(gap) if gap is not None else "undefined" for gap in [*gaps.values(), study.gap_mean()]]
    return ["gap closed", *cells]


def _latency(study: Study) -> str:
    network = study.network
    return (
        f"{speed(study)} Latency {amount(network.latency_ms_p50)} ms (median), {amount(network.latency_ms_p90)} ms "
        f"(90th percentile); {amount(network.parameters / 1e6, 2)} M parameters, {amount(network.gflops)} GFLOP."
    )
