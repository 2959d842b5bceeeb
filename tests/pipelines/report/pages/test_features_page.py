"""The page of a look inside: words that fit the figures, marks that fit the points, whole in a real browser."""

import math
from dataclasses import replace

import numpy as np
import pytest
from selenium.webdriver.common.by import By

from pipelines.report.feature_study import CheckpointFeatures, ClassShift, DomainPair, FeatureStudy, Points
from pipelines.report.pages.features_page import (
    comparability,
    explained,
    headline,
    heat,
    render_features,
    write_features_page,
)
from pipelines.report.pages.page import render_page, write_report
from pipelines.report.scatter import MARKS
from segment.classes import CLASS_NAMES
from tests.pipelines.report.pages.test_page import SECTIONS, Elements
from tests.pipelines.report.pages.test_page_in_browser import CHROMIUM, DRIVER, HOSTILE, browser  # noqa: F401 (a fixture)

CLASSES = (0, 2, 13)


def pair(first, second, distance):
    shifts = [ClassShift(0, distance, 0.1), ClassShift(13, distance, 0.2)]
    return DomainPair(first, second, 0.8, 1.2, 0.15, distance, shifts)


def checkpoint(title="Translated", style="translated", seed=0):
    random = np.random.default_rng(seed)
    classes = [i for i in CLASSES for _ in range(20)] * 3
    domains = [domain for domain in MARKS for _ in range(60)]
    clouds = random.normal(0, 3, (180, 2)) + np.array(classes)[:, None] * 4
    points = Points(classes, domains, clouds.tolist(), (clouds * 2).tolist())
    pairs = [pair("source", "target", 2.5), pair("translated", "target", 0.5), pair("source", "translated", 2.4)]
    cells = {domain: dict.fromkeys(CLASSES, 20) for domain in MARKS}
    return CheckpointFeatures(title, style, "ddrnet23_slim", "abc", 128, 0.25, cells, pairs, points, (0.5, 0.2))


@pytest.fixture
def looked():
    arms = [("Source-only", "source_only"), ("Translated", "translated"), ("Oracle", "oracle")]
    return FeatureStudy(
        name="toyworld", command="sim2real segment features x", date="2026-11-21", machine="a CPU",
        versions={"torch": "2"}, validation="camera_val (60 frames)", settings={}, seed=0, perplexity=30.0,
        most_per_class=200, joint=True, domains={"source": 60, "translated": 60, "target": 50},
        titles=dict(enumerate(CLASS_NAMES)),
        checkpoints=[checkpoint(title, style, i) for i, (title, style) in enumerate(arms)], notes=["A note."],
    )  # fmt: skip


class TestWords:
    def test_the_headline(self, looked):
        assert headline(looked) == (
            "Translated: translated frames lie nearer to the target than source frames do: 0.50 spreads against 2.50, "
            "by the 2 classes that both show."
        )
        worse = replace(looked.checkpoints[1], pairs=[pair("source", "target", 1.0), pair("translated", "target", 1.5)])
        assert "lie no nearer to the target" in headline(replace(looked, checkpoints=[worse]))
        like = replace(
            looked.checkpoints[1], pairs=[pair("source", "target", 1.504), pair("translated", "target", 1.496)]
        )
        assert "lie as near to the target as" in headline(replace(looked, checkpoints=[like]))
        far = replace(
            looked.checkpoints[1], pairs=[pair("source", "target", 1234.5), pair("translated", "target", 999.0)]
        )
        assert "nearer to the target than source frames do" in headline(replace(looked, checkpoints=[far]))
        others = replace(pair("translated", "target", 0.5), classes=[ClassShift(2, 0.5, 0.1)])
        apart = replace(looked.checkpoints[1], pairs=[pair("source", "target", 1.0), others])
        assert "no class in common" in headline(replace(looked, checkpoints=[apart]))
        alone = replace(looked.checkpoints[1], pairs=[pair("source", "target", 1.0)])
        assert "classes of source frames lie 1.00 spreads" in headline(replace(looked, checkpoints=[alone]))
        nothing = replace(alone, pairs=[pair("source", "target", math.nan)])
        assert "too few cells" in headline(replace(looked, checkpoints=[nothing]))

    def test_it_says_whether_panels_can_be_compared(self, looked):
        assert "in one embedding" in comparability(looked) and comparability(looked) in render_features(looked)
        assert "cannot be compared" in comparability(replace(looked, joint=False))
        assert comparability(replace(looked, checkpoints=looked.checkpoints[:1])) == ""
        assert "perplexity 30" in explained(looked, "tsne") and "hold 70 % of it" in explained(looked, "pca")
        assert "hold 70 %, 70 %, 70 % of it" in explained(replace(looked, joint=False), "pca")

    def test_numbers_of_every_class(self, looked):
        page = render_features(looked)
        assert page.count("<svg") == 6 + 3 and "A note." in page
        assert all(f">{CLASS_NAMES[i]}</label>" in page for i in CLASSES) and ">rider</label>" not in page
        assert [heat(value) for value in (0.0, 1.5, 9.0, math.nan)] == ["0%", "28%", "55%", "0%"]

    def test_the_record_is_json_without_nan(self, looked):
        assert "NaN" not in replace(looked, checkpoints=[replace(looked.checkpoints[0], mean_iou=math.nan)]).to_json()


class TestInTheReport:
    """The report of a comparison shows the same, as one of its sections."""

    def test_a_section_with_every_arm(self, looked, study, pictures):
        elements = Elements(render_page(study, pictures, looked))
        place = SECTIONS.index("confusion")
        sections = [attributes["id"] for tag, attributes in elements.tags if tag == "section"]
        assert sections == [*SECTIONS[:place], "features", *SECTIONS[place:]]
        assert ("a", {"href": "#features"}) in elements.tags
        clouds = [attributes["aria-label"] for tag, attributes in elements.tags if attributes.get("class") == "cloud"]
        assert [said.split(" of the features of ")[1] for said in clouds] == [
            f"{arm}, 180 points" for arm in ("Source-only", "Translated", "Oracle")
        ] * 2  # fmt: skip
        assert headline(looked) in elements.text and "a linear probe tells source from target in 80 %" in elements.text
        assert "sim2real segment features x" in elements.text

    def test_no_name_is_given_twice(self, looked, study, pictures):
        ids = [
            attributes["id"]
            for _, attributes in Elements(render_page(study, pictures, looked)).tags
            if "id" in attributes
        ]
        assert len(ids) == len(set(ids)) and {"show-source", "class-13", "classes"} <= set(ids)

    def test_nothing_of_it_where_there_are_no_features(self, study, pictures):
        page = render_page(study, pictures)
        assert "#features" not in page and ".clouds" not in page and "Looking inside" not in page


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")
@pytest.mark.parametrize("width", [1200, 420])
def test_the_page_in_a_browser(looked, browser, tmp_path, width):  # noqa: F811
    hostile = replace(
        looked, name=HOSTILE, checkpoints=[replace(looked.checkpoints[0], title=HOSTILE), *looked.checkpoints[1:]]
    )
    write_features_page(hostile, tmp_path / "features.html")
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get((tmp_path / "features.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return document.scripts.length") == 1
    assert HOSTILE in browser.find_element(By.ID, "pictures").text
    shown = "return [...document.querySelectorAll('svg.cloud .of-source')].map(p => getComputedStyle(p).visibility)"
    opacity = "return getComputedStyle(document.querySelector('svg.cloud path.c-0')).opacity"
    assert set(browser.execute_script(shown)) == {"visible"} and browser.execute_script(opacity) == "0.82"
    browser.execute_script("document.getElementById('show-source').click()")
    assert set(browser.execute_script(shown)) == {"hidden"}
    browser.execute_script("document.querySelectorAll('svg.cloud path').forEach(p => p.style.transition = 'none')")
    browser.execute_script("document.getElementById('class-13').click()")
    assert browser.execute_script(opacity) == "0.07"
    assert browser.get_log("browser") == []


@pytest.mark.slow
@pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")
@pytest.mark.parametrize("width", [1200, 420])
def test_the_report_in_a_browser(looked, study, pictures, browser, tmp_path, width):  # noqa: F811
    """Panels beside each other where there is room, nothing sticks out, and a choice works on both kinds of picture."""
    write_report(study, pictures, tmp_path / "report.html", looked)
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get((tmp_path / "report.html").as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    figures = browser.find_elements(By.CSS_SELECTOR, "#features .clouds:first-of-type figure")[:3]
    assert len({figure.location["y"] for figure in figures}) == (1 if width > 700 else 3)
    opacity = "return [...document.querySelectorAll('svg.cloud path.c-0')].map(p => getComputedStyle(p).opacity)"
    browser.execute_script("document.querySelectorAll('svg.cloud path').forEach(p => p.style.transition = 'none')")
    assert browser.execute_script(opacity) == ["0.82"] * 18
    browser.execute_script("document.getElementById('class-13').click()")
    assert browser.execute_script(opacity) == ["0.07"] * 18
    assert browser.get_log("browser") == []
