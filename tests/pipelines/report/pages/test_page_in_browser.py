"""The page as a person meets it: opened from the disk in a real browser, without a network, wide and narrow."""

import json
import shutil
from dataclasses import replace

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from pipelines.report.pages.page import write_report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"
FLAGS = [
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, study, pictures, tmp_path):
    """A function that writes the page, opens it at a width and returns the browser."""

    def open_page(width=1200, study=study, pictures=pictures):
        write_report(study, pictures, tmp_path / "report.html")
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get("about:blank")  # ends the browser's own start page, which a slow machine is still loading
        for log in ("performance", "browser"):
            browser.get_log(log)  # reading empties it
        browser.get((tmp_path / "report.html").as_uri())
        return browser

    return open_page


def addresses_asked_for(browser):
    """Every address that the page made the browser request since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def test_page_opens_whole_and_quiet(opened):
    browser = opened()
    sections = browser.find_elements(By.CSS_SELECTOR, "section")
    assert len(sections) == 9 and all(section.size["height"] > 60 for section in sections)
    widths = browser.execute_script("return [...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 2 * 3 + 2 * 5 and min(widths) > 0
    assert browser.get_log("browser") == []
    asked = addresses_asked_for(browser)
    assert asked and all(address.startswith(("file:", "data:")) for address in asked)


@pytest.mark.parametrize("width", [1200, 420])
def test_nothing_sticks_out_sideways(opened, width):
    browser = opened(width)
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return window.innerWidth") == width


def test_figures_under_the_headline_stay_on_one_line(opened, study):
    """Without a gap one of them is a word: "undefined"."""
    high = [replace(one, mean_iou=0.9) if one.arm == "source_only" else one for one in study.results]
    browser = opened(380, study=replace(study, results=high))
    heights = "return [...document.querySelectorAll('.figures dd')].map(value => "
    heights += "{ const text = document.createRange(); text.selectNodeContents(value.firstChild); "
    heights += "return text.getClientRects().length })"
    assert "undefined" in browser.find_element(By.CSS_SELECTOR, ".figures").text
    assert set(browser.execute_script(heights)) == {1}


def test_names_run_no_script(opened, study, pictures):
    frames = [replace(frame, name=HOSTILE + frame.name) for frame in study.results[0].frames]
    hostile = replace(
        study,
        classes=[HOSTILE, *study.classes[1:]],
        settings={HOSTILE: HOSTILE},
        results=[replace(result, frames=frames) for result in study.results],
    )
    browser = opened(
        study=hostile, pictures=replace(pictures, best=[replace(picture, name=HOSTILE) for picture in pictures.best])
    )
    assert browser.execute_script("return document.scripts.length") == 1
    assert browser.find_elements(By.CSS_SELECTOR, "[onerror], [onload], img:not([src^='data:'])") == []
    assert HOSTILE in browser.find_element(By.ID, "predictions").text
    assert browser.get_log("browser") == []


def test_sliders_blend_and_wipe(opened):
    browser = opened()
    move = "arguments[0].value = 25; arguments[0].dispatchEvent(new Event('input'))"
    style = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    assert browser.execute_script(style, ".blended img", "opacity") == "0.6"
    for control in browser.find_elements(By.CSS_SELECTOR, "input[type=range]"):
        browser.execute_script(move, control)
    assert browser.execute_script(style, ".blended img", "opacity") == "0.25"
    assert browser.execute_script(style, ".wiped img", "clipPath") == "inset(0px 0px 0px 25%)"


def test_page_is_whole_without_script(opened):
    browser = opened()
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.refresh()
        assert browser.find_element(By.ID, "method").is_displayed()
        assert not browser.find_element(By.CSS_SELECTOR, "input[type=range]").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
