"""The page of an evaluation in a real browser, with hostile names in it, wide and narrow."""

from dataclasses import replace

import pytest
from selenium.webdriver.common.by import By

from pipelines.report.pages.evaluation_page import EvaluatedFrame, write_evaluation_page
from tests.pipelines.report.pages.test_evaluation_page import evaluation, page  # noqa: F401 (fixtures)
from tests.pipelines.report.pages.test_page_in_browser import CHROMIUM, DRIVER, HOSTILE, browser  # noqa: F401 (a fixture)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH"),
]


def test_the_page_in_a_browser(page, browser, tmp_path):  # noqa: F811
    hostile = replace(page, network=HOSTILE, frames=[EvaluatedFrame(HOSTILE, 0.0), *page.frames])
    write_evaluation_page(hostile, tmp_path / "evaluation.html")
    for width in (1200, 420):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get_log("browser")
        browser.get((tmp_path / "evaluation.html").as_uri())
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script("return document.scripts.length") == 1
        assert HOSTILE in browser.find_element(By.ID, "frames").text
        assert len(browser.find_elements(By.CSS_SELECTOR, "#calibration svg, #confusion svg")) == 2
        assert browser.get_log("browser") == []
