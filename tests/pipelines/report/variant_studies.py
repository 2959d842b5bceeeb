"""A small study of variants, two seeds: source-only, an arm with both, one with the first alone, the oracle."""

from dataclasses import replace

from pipelines.report.variants import VariantResult, VariantStudy


def result(name, seed, mean_iou, family="", labels=None, **figures):
    seconds = None if name in ("source_only", "oracle") else 60.0
    iou = [mean_iou, None, mean_iou / 2] + [None] * 16
    interval = (mean_iou - 0.01, mean_iou + 0.01)
    means = mean_iou, interval, iou, seconds, figures, mean_iou + 0.1, mean_iou + 0.2
    return VariantResult(name, seed, *means, family or name, labels)


def small_study():
    results = [
        result("source_only", 0, 0.10),
        result("source_only", 1, 0.20),
        result("oracle", 0, 0.50),
        result("oracle", 1, 0.60),
        result("plain", 0, 0.20, consistency=0.5),
        result("plain", 1, 0.40, consistency=0.7),
        result("guided_label", 0, 0.45),
    ]
    versions = {"python": "3.11"}
    told = "toy", "sim2real variants toy.toml", "2026-11-21", "a machine", versions, "val (9 frames)", {}, results
    return VariantStudy(*told, gap_intervals={"plain": (0.21, 0.5)}, interval_over="9 drives")


def starting(study, **starts):
    """The same study, each row with its start."""
    study.results[:] = [replace(one, start=starts.get(one.name, "random weights")) for one in study.results]
    return study
