"""The page of an audit in a real browser, with hostile names in it, wide and narrow."""

from dataclasses import replace

import pytest
from selenium.webdriver.common.by import By

from pipelines.report.pages.audit_page import write_audit
from tests.pipelines.report.pages.test_audit_page import audit, shown  # noqa: F401 (a fixture)
from tests.pipelines.report.pages.test_page_in_browser import CHROMIUM, DRIVER, HOSTILE, browser  # noqa: F401 (a fixture)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH"),
]


def test_the_page_in_a_browser(audit, browser, tmp_path):  # noqa: F811
    frame = replace(audit.frames[0], name=HOSTILE)
    hostile = replace(audit, folder=HOSTILE, frames=[frame, *audit.frames[1:]], lowest=[shown(frame, 1)])
    write_audit(hostile, tmp_path / "audit.html")
    for width in (1200, 420):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get_log("browser")
        browser.get((tmp_path / "audit.html").as_uri())
        browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script("return document.scripts.length") == 1
        widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
        assert len(widths) == 2 * 5 and min(widths) > 0
        assert HOSTILE in browser.find_element(By.ID, "worst").text
        assert browser.get_log("browser") == []
