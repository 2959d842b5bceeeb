"""An evaluation as a table for the terminal; the page and evaluation.json hold the same figures and more."""

from typing import Any

from pipelines.report.columns import in_columns
from pipelines.report.figures import score
from pipelines.stages.evaluation.scores import ALL_CLASSES, Evaluation
from segment.classes import CLASS_NAMES

COLUMNS = (("IoU", "iou"), ("acc", "accuracy"), ("prec", "precision"), ("F1", "f1"), ("share", "share_of_pixels"))


def format_summary(evaluation: Evaluation) -> str:
    """Scores per class and the means as a plain table for the terminal."""
    summary = evaluation.summary()
    columns = [(title, summary[key]) for title, key in COLUMNS]
    columns += [
        (title, summary[key]["classes"])
        for title, key in (("iIoU", "instance_iou"), ("bIoU", "boundary_iou"))
        if key in summary
    ]
    rows = [["", *(title for title, _ in columns)]]
    for train_id in evaluation.scored(ALL_CLASSES):
        name = CLASS_NAMES[train_id]
        if summary["iou"][name] is not None:
            rows.append([evaluation.title(train_id), *(score(values[name]) for _, values in columns)])
    rows += [[], *([name, score(value)] for name, value in means(summary))]
    low, high = map(score, summary["interval_95"])
    interval = f"95 % of mIoU over {summary['interval_over']}: {low} to {high}"
    return "\n".join([*in_columns(rows), interval, frames_in_words(evaluation)])


def frames_in_words(evaluation: Evaluation) -> str:
    """How many frames were counted: "60 frames"."""
    count = len(evaluation.names)
    return f"{count} frame{'' if count == 1 else 's'}"


def means(summary: dict[str, Any]) -> list[tuple[str, float | None]]:
    """What sums an evaluation up, named for people; only what was measured."""
    synthia = {f"mIoU of the {count}": summary[f"mean_iou_{count}"] for count in (16, 13)}
    rows = [
        ("mIoU", summary["mean_iou"]),
        *((title, mean) for title, mean in synthia.items() if mean is not None),  # none where labels merge classes
        ("frequency-weighted IoU", summary["frequency_weighted_iou"]),
        ("pixel accuracy", summary["pixel_accuracy"]),
        ("mean accuracy", summary["mean_accuracy"]),
    ]
    if "category_iou" in summary:
        rows.append(("mIoU of categories", summary["category_iou"]["mean"]))
    if "instance_iou" in summary:
        rows.append(("iIoU of classes", summary["instance_iou"]["mean"]))
        rows.append(("iIoU of categories", summary["instance_iou"]["mean_of_categories"]))
    if "boundary_iou" in summary:
        rows.append(("boundary IoU", summary["boundary_iou"]["mean"]))
    if "calibration" in summary:
        calibration = summary["calibration"]
        rows.append(("expected calibration error", calibration["expected_calibration_error"]))
        rows.append(("negative log-likelihood", calibration["negative_log_likelihood"]))
        rows.append(("Brier score", calibration["brier_score"]))
    return rows
