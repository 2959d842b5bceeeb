"""The page of variants: its sentence, its marks, hostile names, curves only where there is something to join."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from selenium.webdriver.common.by import By

from pipelines.report.pages.variants_page import (
    emphasised,
    headline,
    label_curves,
    render_variants,
    scored,
    write_variants_page,
)
from pipelines.report.variants import VariantResult, VariantStudy
from tests.pipelines.report.pages.test_page_in_browser import CHROMIUM, DRIVER, browser  # noqa: F401 (a fixture)

HOSTILE = "<script>alert(1)</script>"


def result(name, seed, mean_iou, family="", labels=None):
    iou = [mean_iou, mean_iou / 2] + [None] * 17
    interval = (mean_iou - 0.01, mean_iou + 0.01)
    return VariantResult(name, seed, mean_iou, interval, iou, None, {}, mean_iou, mean_iou, family or name, labels)


@pytest.fixture
def study():
    results = [
        result("source_only", 0, 0.2),
        result("oracle", 0, 0.6),
        result("dacs", 0, 0.4),
        result("swd", 0, 0.1),
        result("few_labels_5", 0, 0.3, labels=5),
        result("few_labels_20", 0, 0.5, labels=20),
        result("ass_5_labels", 0, 0.35, "ass", 5),
        result("ass_all_labels", 0, 0.58, "ass", 0),
    ]
    return VariantStudy(
        "toy", f"sim2real variants {HOSTILE}", "2026-11-28", "a machine", {"torch": "2"}, "val", {}, results
    )


def test_the_sentence_names_the_best_and_counts_those_below(study):
    """(0.58 - 0.2) / 0.4 is 95 %; SWD lies below source-only, the three others do not."""
    assert headline(study) == (
        "ass-all-labels closed 95 % of the gap, the most of 4 variants; 1 of 4 ended below source-only; one seed tells "
        "nothing from chance."
    )


def test_several_seeds_are_not_called_one(study):
    further = replace(study, results=[*study.results, result("source_only", 1, 0.2)])
    assert headline(further).endswith("; scores of single seeds tell nothing from chance.")


def test_without_a_gap_nothing_is_claimed(study):
    alone = replace(study, results=[one for one in study.results if one.name != "oracle"])
    assert headline(alone) == "No variant has a share of the gap that could be told."


def test_rows_have_the_colour_of_what_they_are(study):
    assert [scored(study, name).style for name in ("source_only", "dacs", "oracle")] == [
        "source_only", "translated", "oracle"
    ]  # fmt: skip
    assert scored(study, "dacs").results == [(0, 0.4, (0.4 - 0.01, 0.4 + 0.01))]


def test_the_best_of_each_column_is_marked_and_the_oracle_is_not():
    table = [
        ["", "road", "car", "rider"],
        ["a", "10.0", "", "0.0"],
        ["b", "9.0", "3.0", "0.0"],
        ["oracle", "50.0", "60.0", "20.0"],
    ]
    assert emphasised(table, ["oracle"]) == [
        [("", False), ("road", False), ("car", False), ("rider", False)],
        [("a", False), ("10.0", True), ("", False), ("0.0", False)],
        [("b", False), ("9.0", False), ("3.0", True), ("0.0", False)],
        [("oracle", False), ("50.0", False), ("60.0", False), ("20.0", False)],
    ]


def test_a_row_that_misses_a_seed_has_no_best(study):
    """DACS is first in the one seed that it has; the best of both seeds is marked, and the page says what is apart."""
    second = [replace(one, seed=1) for one in study.results if one.name in ("source_only", "oracle", "swd")]
    kept = [one for one in study.results if one.labels is None]
    page = render_variants(replace(study, results=[*kept, *second]))
    assert "the oracle and rows that miss a seed apart." in page and "dacs (1 of 2 seeds)" in page
    assert page.count('<td class="number best">20.0</td>') == 4  # source-only's road and three means
    assert '<td class="number best">40.0</td>' not in page and '<td class="number best">60.0</td>' not in page
    assert "the oracle apart." in render_variants(study)


def test_without_an_oracle_the_last_row_may_be_the_best():
    assert emphasised([["", "road"], ["a", "1.0"], ["b", "2.0"]], ["oracle"])[2] == [("b", False), ("2.0", True)]


def test_curves_join_numbers_of_labels_and_leave_holes(study):
    curves = {line.label: line.points for line in label_curves(study)}
    assert curves == {"labelled target frames alone": [(5, 0.3), (20, 0.5)], "ass": [(5, 0.35)]}
    few = replace(study, results=[one for one in study.results if one.labels != 20])
    assert label_curves(few) == []


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links = [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.open.append(tag)
        self.ids |= {given["id"]} if "id" in given else set()
        self.links |= {given["href"]} if "href" in given else set()


def test_the_page_holds_all_of_it_and_nothing_hostile(study, tmp_path):
    write_variants_page(study, tmp_path / "variants.html")
    text = (tmp_path / "variants.html").read_text("utf-8")
    tags = Tags(text)
    assert tags.links == {"#scores", "#classes", "#labels", "#method"} and {link[1:] for link in tags.links} <= tags.ids
    assert tags.open.count("script") == 1 and HOSTILE not in text and "&lt;script&gt;alert(1)" in text
    assert tags.open.count("svg") >= 2
    for said in ("ass-all-labels", "0.400", "50 %", "not run", "a machine"):
        assert said in text


def test_translated_frames_have_their_figures_on_the_page(study):
    assert 'id="translations"' not in render_variants(study) and "#translations" not in render_variants(study)
    measured = replace(study.results[2], figures={"KID-net": 0.25}, translator_seconds=120.0)
    page = render_variants(replace(study, results=[measured, *study.results[:2], *study.results[3:]]))
    tags = Tags(page)
    assert "#translations" in tags.links and "translations" in tags.ids
    assert '<th scope="col" class="number">dacs</th></tr>' in page
    assert '<th scope="row">KID-net</th><td class="number">0.25</td></tr>' in page
    assert '<th scope="row">minutes of training the translator</th><td class="number">2</td></tr>' in page


def test_the_sentence_doubts_what_may_be_chance(study):
    """A second seed like the first leaves no spread at all, and one that turns the best round leaves no winner."""

    def with_second(**changed):
        again = [replace(one, seed=1, mean_iou=changed.get(one.name, one.mean_iou)) for one in study.results]
        return replace(study, results=[*study.results, *again])

    assert headline(with_second()).endswith("1 of 4 ended below source-only, 1 of them by as much as can be shown.")
    doubted = with_second(ass_all_labels=0.3, dacs=0.1, ass_5_labels=0.1)
    assert headline(doubted).endswith(
        "of the gap, the most of 4 variants; 1 of 4 ended below source-only, none of them by as much as can be "
        "shown; its lead over source-only and over dacs and 1 more is less than can be shown here."
    )
    assert "° marks smaller ones" in render_variants(doubted)


def of_two_seeds(study, **scores):
    """A study of these rows alone, each with its scores of seed 0 and seed 1."""
    results = [result(name, seed, one) for name, both in scores.items() for seed, one in enumerate(both)]
    return replace(study, results=results)


def test_the_lead_over_the_runner_up_is_tested_too(study):
    """By hand: rises of 0.1, 0.1, 0.1, 0.12 from seed to seed, on the mean 0.105, leave residuals of 0.0025, three
    times, and 0.0075: squares 2 (3 * 6.25 + 56.25) e-6 over 3 degrees, s = 0.00707. With 3 degrees the noncentrality
    is 4.256: two seeds show 0.030, so a lead of 0.20 over source-only, and not one of 0.01 over the next.
    """
    near = of_two_seeds(study, source_only=(0.2, 0.3), oracle=(0.6, 0.7), dacs=(0.39, 0.49), swd=(0.39, 0.51))
    assert near.is_shown("swd") is True and near.is_shown("swd", "dacs") is False
    assert headline(near) == (
        "swd closed 50 % of the gap, the most of 2 variants; its lead over dacs is less than can be shown here."
    )
    far = of_two_seeds(study, source_only=(0.2, 0.3), oracle=(0.6, 0.7), dacs=(0.3, 0.4), swd=(0.39, 0.51))
    assert headline(far) == "swd closed 50 % of the gap, the most of 2 variants."


def test_one_variant_is_the_most_of_nothing(study):
    alone = of_two_seeds(study, source_only=(0.2, 0.3), oracle=(0.6, 0.7), dacs=(0.4, 0.5))
    assert headline(alone) == "dacs closed 50 % of the gap."


def test_a_best_one_that_is_not_above_source_only_closed_nothing(study):
    references = {"source_only": (0.2, 0.3), "oracle": (0.6, 0.7)}
    assert headline(of_two_seeds(study, **references, dacs=(0.1, 0.2))) == (
        "No variant closed any of the gap: dacs closed −25 %; 1 of 1 ended below source-only, 1 of them by as much as "
        "can be shown."
    )
    assert headline(of_two_seeds(study, **references, dacs=(0.1, 0.2), swd=(0.2, 0.3))) == (
        "No variant closed any of the gap: swd closed 0 %, the most of 2; 1 of 2 ended below source-only, 1 of them "
        "by as much as can be shown."
    )


def test_the_page_says_what_intervals_were_drawn_over_and_what_they_tell(study):
    said = "95 % bootstrap interval over 26 drives: what other frames might give, and nothing of other trainings."
    assert said in render_variants(replace(study, interval_over="26 drives"))


def test_without_numbers_of_labels_the_section_is_left_out(study):
    plain = replace(study, results=[one for one in study.results if one.labels is None])
    assert 'id="labels"' not in render_variants(plain)


def test_what_collapsed_is_told(study):
    assert "Without a result" not in render_variants(study)
    page = render_variants(replace(study, stopped={"dacs, seed 1": "step 9: all is <road>"}))
    assert "Without a result, since training collapsed: dacs, seed 1: step 9: all is &lt;road&gt;." in page


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")
@pytest.mark.parametrize("width", [1200, 420])
def test_the_page_in_a_browser(study, browser, tmp_path, width):  # noqa: F811
    """With every class, a long name and a long reason of a collapse, nothing sticks out and no script runs."""
    long = VariantResult("dacs_" * 8, 0, 0.3, (0.2, 0.4), [0.3] * 19, None, {}, 0.3, 0.3)
    why = f"step 9: the pseudo-labels have collapsed: 99.1% of them are {HOSTILE}; " + "lower it, " * 30
    whole = replace(study, results=[*study.results, long], stopped={"dacs, seed 1": why})
    write_variants_page(whole, tmp_path / "variants.html")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get((tmp_path / "variants.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return document.scripts.length") == 1
    assert HOSTILE in browser.find_element(By.ID, "scores").text
    charts = browser.find_elements(By.CSS_SELECTOR, "svg")
    assert len(charts) >= 2 and all(chart.size["height"] > 60 for chart in charts)
    assert browser.get_log("browser") == []
