"""What a comparison of variants found: gaps, differences and what can be shown, worked out by hand."""

import dataclasses
import json
import math
from dataclasses import replace

import pytest

from tests.pipelines.report.variant_studies import result, small_study, starting


@pytest.fixture
def study():
    return small_study()


def test_the_gap_is_that_of_the_means_over_common_seeds(study):
    assert study.gap("plain") == pytest.approx((0.30 - 0.15) / (0.55 - 0.15))
    assert study.gap("guided_label") == pytest.approx((0.45 - 0.10) / (0.50 - 0.10))


def test_a_row_that_no_segmenter_was_trained_for_has_no_seed_of_the_gap(study):
    assert study.seeds_of_gap("plain") == [0, 1] and study.seeds_of_gap("guided_label") == [0]
    study.results.append(replace(result("translator", 0, 0.3), mean_iou=None))
    assert study.seeds_of_gap("translator") == [] and study.gap("translator") is None


def test_rows_are_compared_over_the_seeds_that_both_have(study):
    """Guided-label has seed 0 alone, in which it is 0.45 - 0.20 ahead; one seed shows 0.326 and more."""
    assert study.difference("guided_label", "plain") == (pytest.approx(0.25), 1)
    assert study.difference("plain", "oracle") == (pytest.approx(-0.25), 2)
    assert study.is_shown("guided_label", "plain") is False and study.is_shown("plain", "oracle") is True
    assert study.difference("plain", "nothing") is None


def test_what_can_be_shown_says_that_one_spread_stands_for_all_rows(study):
    """A row that scatters widely raises what every other must reach."""
    assert "power 80 %, one spread over seeds for all rows, 2 degrees of freedom)" in study.power_in_words()
    wild = [result("dacs", 0, 0.5), result("dacs", 1, 0.1)]
    assert replace(study, results=[*study.results, *wild]).detectable() > 2 * study.detectable()


def test_three_seeds_need_no_excuse(study):
    for name, mean in (("source_only", 0.15), ("oracle", 0.57), ("plain", 0.29)):
        study.results.append(result(name, 2, mean))
    assert study.power_in_words().endswith("which may be chance.")


def test_several_seeds_without_two_whole_rows_show_nothing_and_are_not_called_one(study):
    """As where trainings collapsed: source-only has both seeds, no other row has."""
    kept = [one for one in study.results if one.name == "source_only" or one.seed == 0]
    left = dataclasses.replace(study, results=kept)
    assert left.detectable() is None
    said = "Fewer than two rows have a score in each of these 2 seeds, so it is not known how far seeds differ"
    assert left.power_in_words().startswith(said)


def test_the_record_holds_no_nan(study):
    study.results.append(result("broken", 0, math.nan))
    record = json.loads(study.to_json())
    assert record["results"][-1]["mean_iou"] is None
    assert record["results"][0]["mean_iou"] == 0.1


def test_references_that_start_apart_leave_no_gap(study):
    starting(study, oracle="weights of ImageNet")
    assert study.gap("plain") is None and study.gap("guided_label") is None


def test_one_start_of_all_is_told_in_a_sentence(study):
    assert study.starts_in_words() == ""
    assert starting(study).starts_in_words() == "Every network starts from random weights."
    assert study.gap("plain") == pytest.approx((0.30 - 0.15) / (0.55 - 0.15))
