"""The table of variants: means, spreads and gaps worked out by hand; nothing shown that was not run."""

import json
import math

import pytest

from pipelines.report.variants import VariantResult, VariantStudy, markdown_table


def result(name, seed, mean_iou, **figures):
    seconds = None if name in ("source_only", "oracle") else 60.0
    return VariantResult(name, seed, mean_iou, (mean_iou - 0.01, mean_iou + 0.01), [mean_iou, None], seconds, figures)


@pytest.fixture
def study():
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
    return VariantStudy(
        "toy", "sim2real variants toy.toml", "2026-11-21", "a machine", versions, "val (9 frames)", {}, results
    )


def test_the_gap_is_that_of_the_means_over_common_seeds(study):
    assert study.gap("plain") == pytest.approx((0.30 - 0.15) / (0.55 - 0.15))
    assert study.gap("guided_label") == pytest.approx((0.45 - 0.10) / (0.50 - 0.10))


def test_rows_are_in_order_and_say_what_was_not_run(study):
    lines = markdown_table(study).splitlines()
    assert lines[0] == "Mean IoU on val (9 frames):"
    assert lines[2] == "|  | seed 0 | seed 1 | mean ± std | gap closed |"
    assert lines[4] == "| source-only | 0.100 | 0.200 | 0.150 ± 0.071 |  |"
    assert lines[5] == "| plain | 0.200 | 0.400 | 0.300 ± 0.141 | 38 % |"
    assert lines[6] == "| guided-label | 0.450 | not run | 0.450 | 87 % |"
    assert lines[7] == "| oracle | 0.500 | 0.600 | 0.550 ± 0.071 |  |"


def test_figures_have_a_variant_per_column(study):
    lines = markdown_table(study).splitlines()
    place = lines.index("|  | plain | guided-label |")
    assert lines[place + 2] == "| consistency | 0.6 ± 0.14 |  |"


def test_the_table_says_where_it_comes_from(study):
    table = markdown_table(study)
    for fact in ("`sim2real variants toy.toml`", "a machine", "2026-11-21", "val (9 frames)"):
        assert fact in table


def test_the_record_holds_no_nan(study):
    study.results.append(result("broken", 0, math.nan))
    record = json.loads(study.to_json())
    assert record["results"][-1]["mean_iou"] is None
    assert record["results"][0]["mean_iou"] == 0.1
