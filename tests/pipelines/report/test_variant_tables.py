"""The table of variants: means, spreads and gaps worked out by hand; nothing shown that was not run."""

import dataclasses
import json
import math
from dataclasses import replace

import pytest

from pipelines.report.pages.variants_page import render_variants
from pipelines.report.variant_tables import markdown_table
from tests.pipelines.report.variant_studies import result, small_study, starting


@pytest.fixture
def study():
    return small_study()


def test_rows_are_in_order_and_say_what_was_not_run(study):
    lines = markdown_table(study).splitlines()
    assert lines[0] == (
        "Mean IoU on val (9 frames). In brackets the 95 % bootstrap interval over 9 drives: what other frames might "
        "give, and nothing of other trainings."
    )
    assert lines[2] == "|  | seed 0 | seed 1 | mean ± std | over source-only | gap closed |"
    of_both = "0.100 [0.090, 0.110] | 0.200 [0.190, 0.210]"
    assert lines[4] == f"| source-only | {of_both} | 0.150 ± 0.071 |  |  |"
    of_both = "0.200 [0.190, 0.210] | 0.400 [0.390, 0.410]"
    assert lines[5] == f"| plain | {of_both} | 0.300 ± 0.141 | +0.150 ° | 38 % [21 %, 50 %] |"
    assert lines[6] == "| guided-label | 0.450 [0.440, 0.460] | not run | 0.450 (1 of 2 seeds) | +0.350 | 87 % |"
    of_both = "0.500 [0.490, 0.510] | 0.600 [0.590, 0.610]"
    assert lines[7] == f"| oracle | {of_both} | 0.550 ± 0.071 | +0.400 |  |"


def test_a_training_that_collapsed_is_told_and_leaves_a_gap_in_its_row(study):
    assert "Without a result" not in markdown_table(study)
    why = {"guided_label, seed 1": "step 9: all is road; lower it", "dacs, seed 0": "step 3: main is nan"}
    table = markdown_table(replace(study, stopped=why))
    assert "| guided-label | 0.450 [0.440, 0.460] | collapsed | 0.450 (1 of 2 seeds) | +0.350 | 87 % |" in table
    said = "guided-label, seed 1: step 9: all is road; lower it; dacs, seed 0: step 3: main is nan."
    assert f"Without a result, since training collapsed: {said}" in table.splitlines()


def test_what_can_be_shown_by_hand(study):
    """Three rows have both seeds: 0.1 0.2, 0.2 0.4, 0.5 0.6, which rise by 0.1, 0.2, 0.1 and on the mean by 0.4 / 3.

    What is left of a row is half of how its rise differs, twice: 1/60, 2/60, 1/60. Squares: 2 (1 + 4 + 1) / 3600, over
    two degrees of freedom: s = 0.0408. With two degrees the noncentrality is 5.653: 5.653 * 0.0408 * sqrt(2 / 2) is
    0.231 with both seeds, 0.326 with one.
    """
    assert study.seed_spread.deviation == pytest.approx(math.sqrt(1 / 600)) and study.seed_spread.freedom == 2
    assert study.detectable() == pytest.approx(0.231, abs=1e-3)
    assert study.detectable(1) == pytest.approx(0.326, abs=1e-3)
    assert study.difference("plain") == (pytest.approx(0.15), 2) and study.is_shown("plain") is False
    assert study.difference("guided_label") == (pytest.approx(0.35), 1) and study.is_shown("guided_label") is True
    table = markdown_table(study)
    assert "Differences from 0.231 on can be shown with these 2 seeds (paired by seed, " in table
    assert "° marks smaller ones, which may be chance. Two seeds are a first guess: claim nothing with fewer" in table
    power = json.loads(study.to_json())["power"]
    assert power["seeds"] == 2 and power["detectable_difference"] == pytest.approx(0.231, abs=1e-3)
    assert power["rows"]["plain"] == {"difference": pytest.approx(0.15), "seeds": 2, "shown": False}
    assert set(power["rows"]) == {"plain", "guided_label", "oracle"}


def test_means_over_fewer_seeds_than_there_are_say_so(study):
    assert study.is_whole("plain") and not study.is_whole("guided_label")
    found = [
        result("few_labels_5", 0, 0.21, labels=5),
        result("ass_5_labels", 0, 0.3, "ass", 5, consistency=0.4),
        result("ass_5_labels", 1, 0.3, "ass", 5),
    ]
    study.results.extend(found)
    lines = markdown_table(study).splitlines()
    assert "| guided-label (1 of 2 seeds) | 45.0 | 22.5 | 45.0 | 55.0 | 65.0 |" in lines
    assert any(line.startswith("| plain | 30.0 | 15.0 |") for line in lines)
    assert "| labelled target frames alone | 0.210 (1 of 2 seeds) |" in lines
    assert "| ass | 0.300 ± 0.000 |" in lines
    assert "| consistency | 0.6 ± 0.14 |  |  | 0.4 (1 of 2 seeds) |" in lines


def test_a_variant_without_translated_frames_has_no_column_among_their_figures(study):
    study.results.append(replace(result("dacs", 0, 0.3), translator_seconds=None))
    assert "|  | plain | guided-label |" in markdown_table(study).splitlines()


def test_what_a_training_said_as_it_collapsed_is_no_markup(study):
    table = markdown_table(replace(study, stopped={"dacs, seed 0": "lower `rate` <b>\nnow"}))
    assert "dacs, seed 0: lower \\`rate\\` &lt;b> now." in table


def test_one_seed_shows_nothing(study):
    one = dataclasses.replace(study, results=[result for result in study.results if result.seed == 0])
    assert one.detectable() is None and one.is_shown("plain") is None
    lines = markdown_table(one).splitlines()
    assert lines[5] == "| plain | 0.200 [0.190, 0.210] | 0.200 | +0.100 | 25 % [21 %, 50 %] |"
    said = "One seed does not tell how far seeds differ, so no difference here can be told from chance; 3 or more seeds"
    assert any(line.startswith(said) for line in lines)
    assert json.loads(one.to_json())["power"]["detectable_difference"] is None


def test_figures_have_a_variant_per_column(study):
    lines = markdown_table(study).splitlines()
    place = lines.index("|  | plain | guided-label |")
    assert lines[place + 2] == "| consistency | 0.6 ± 0.14 |  |"
    assert lines[place + 3] == "| minutes of training the translator | 1 ± 0 | 1 (1 of 2 seeds) |"
    study.results.append(result("guided_label", 1, 0.3, consistency=math.nan))
    assert "| consistency | 0.6 ± 0.14 | – (1 of 2 seeds) |" in markdown_table(study).splitlines()


def test_of_variants_that_train_no_translator_no_minutes_are_told(study):
    adapted = [replace(one, translator_seconds=None, figures={}) for one in study.results]
    table = markdown_table(replace(study, results=adapted))
    assert "minutes of training" not in table and "The translated frames" not in table


def test_the_table_says_where_it_comes_from(study):
    table = markdown_table(study)
    for fact in ("`sim2real variants toy.toml`", "a machine", "2026-11-21", "val (9 frames)"):
        assert fact in table


def test_names_do_not_steer_a_terminal_and_can_be_written(study):
    table = markdown_table(replace(study, unusable={"val": {"\udcff\x1b[2J.png": "empty"}}))
    assert "1 of val (\ufffd\ufffd[2J.png)" in table and table.encode().endswith(b"\n")


def test_a_class_per_column_in_percent_and_only_those_that_count(study):
    lines = markdown_table(study).splitlines()
    place = lines.index("|  | road | building | mIoU | mIoU 16 | mIoU 13 |")
    assert lines[place - 2] == "IoU of each class in percent, mean over seeds:"
    # Source-only: (0.10 + 0.20) / 2 on roads, half of that on buildings.
    assert lines[place + 2] == "| source-only | 15.0 | 7.5 | 15.0 | 25.0 | 35.0 |"
    assert lines[place + 3].startswith("| plain | 30.0 | 15.0 | ")


def test_means_over_subsets_that_there_are_not_have_no_column(study):
    merged = [dataclasses.replace(one, mean_iou_16=None, mean_iou_13=None) for one in study.results]
    assert "|  | road | building | mIoU |" in markdown_table(dataclasses.replace(study, results=merged)).splitlines()


def test_merged_classes_are_called_by_all_their_names(study):
    """Building stands for vegetation too; sky and car have no score, and no column."""
    table = markdown_table(dataclasses.replace(study, groups=[[2, 8], [10, 13]]))
    assert "|  | road | building + vegetation | mIoU | mIoU 16 | mIoU 13 |" in table.splitlines()


def test_without_numbers_of_labels_there_is_no_table_of_them(study):
    assert "labelled target frames" not in markdown_table(study)


def test_methods_by_the_number_of_labels(study):
    found = [
        result("few_labels_5", 0, 0.21, labels=5),
        result("few_labels_5", 1, 0.23, labels=5),
        result("guided_5_labels", 0, 0.30, "guided", 5),
        result("guided_5_labels", 1, 0.32, "guided", 5),
        result("guided_all_labels", 0, 0.58, "guided", 0),
        result("norm_all_labels", 0, 0.59, "norm", 0),
    ]
    study.results.extend(found)
    lines = markdown_table(study).splitlines()
    place = lines.index("|  | 5 | all |")
    assert lines[place + 2] == "| labelled target frames alone | 0.220 ± 0.014 | 0.550 ± 0.071 |", "all: the oracle"
    assert lines[place + 3] == "| guided | 0.310 ± 0.014 | 0.580 (1 of 2 seeds) |"
    assert lines[place + 4] == "| norm | not run | 0.590 (1 of 2 seeds) |"


@pytest.mark.parametrize(
    ("shared", "said"),
    [
        (False, "(every seed has frames of its own)"),
        (True, "(the same frames in every seed, by compare.one_translator)"),
    ],
)
def test_whether_the_spread_is_also_that_of_which_frames_had_labels(study, shared, said):
    study.results.append(result("few_labels_5", 0, 0.21, labels=5))
    study.settings["plain"] = {"compare": {"one_translator": shared}}
    told = f"Mean IoU by the number of labelled target frames {said}, mean ± std over seeds:"
    assert told in markdown_table(study).splitlines() and told in render_variants(study)


def test_the_gap_is_told_of_those_alone_that_start_as_the_references(study):
    starting(study, plain="weights of ImageNet")
    assert study.gap("plain") is None and study.gap("guided_label") == pytest.approx(0.35 / 0.40)
    table = markdown_table(study)
    assert (
        "What the networks start from: source-only, guided-label, oracle from random weights; plain from weights of "
        "ImageNet. Gap closed is told of those alone that start as both references."
    ) in table
