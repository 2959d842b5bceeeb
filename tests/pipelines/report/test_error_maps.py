"""Error maps: right, wrong and ignored pixel by pixel, the frames that are chosen, and the gallery in a page."""

import base64
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.by import By

from pipelines.experiment.arms import COMPARED
from pipelines.report.error_maps import (
    VEIL,
    WIDTH,
    Confusion,
    ErrorPicture,
    error_map,
    error_painting,
    most_confused,
    ranked_frames,
    small_photograph,
)
from pipelines.report.figures import percent
from pipelines.report.pages.page import render_page
from segment.classes import PALETTE
from tests.pipelines.report.conftest import street, street_labels
from tests.pipelines.report.pages.test_page_in_browser import CHROMIUM, DRIVER, HOSTILE, browser, opened  # noqa: F401


def error_picture(rank="best", name="0016E5_07959", seed=1, **changes):
    label = street_labels(seed)
    prediction = np.roll(np.where(label == 255, 0, label), 6, axis=1).astype(np.uint8)
    confused = [Confusion(0, 1, 0.12), Confusion(13, None, 0.03)]
    return replace(ErrorPicture(rank, name, 0.61, street(seed), label, prediction, confused), **changes)


@pytest.fixture
def with_errors(pictures):
    return replace(pictures, errors={arm: [error_picture(), error_picture("worst", seed=2)] for arm in COMPARED})


class TestErrorMap:
    def test_every_kind_of_pixel(self):
        """Right, wrong, predicted as void, ignored: two lines of the hatch are black, the next are shaded."""
        picture = error_map(np.array([[0, 13, 10, 255, 255]], np.uint8), np.array([[0, 0, 255, 0, 255]], np.uint8))
        assert picture.dtype == np.uint8 and picture.shape == (1, 5, 4)
        assert picture[0, 0].tolist() == [255, 255, 255, VEIL]
        assert picture[0, 1].tolist() == [*PALETTE[13], 255] and picture[0, 2].tolist() == [*PALETTE[10], 255]
        assert picture[0, 3].tolist() == [0, 0, 0, 120] and picture[0, 4].tolist() == [0, 0, 0, 120]
        hatched = error_map(np.full((12, 12), 255, np.uint8), np.zeros((12, 12), np.uint8))
        assert {int(alpha) for alpha in np.unique(hatched[..., 3])} == {120, 255}

    def test_confusion_within_a_group_is_no_error(self):
        label, prediction = np.array([[13, 14]], np.uint8), np.array([[15, 0]], np.uint8)
        picture = error_map(label, prediction, [[13, 14, 15]])
        assert picture[0, 0, 3] == VEIL
        assert picture[0, 1].tolist() == [*PALETTE[13], 255], "a group has the colour of its first class"

    def test_sizes_that_differ_are_refused(self):
        with pytest.raises(ValueError, match=r"prediction is \(2, 2\), the label map \(1, 2\)"):
            error_map(np.zeros((1, 2), np.uint8), np.zeros((2, 2), np.uint8))

    def test_share_of_wrong_pixels(self):
        label, prediction = np.array([[0, 0, 1, 255]], np.uint8), np.array([[0, 1, 1, 7]], np.uint8)
        assert error_picture(label=label, prediction=prediction).wrong == pytest.approx(1 / 3)
        assert error_picture(label=label, prediction=prediction, groups=[[0, 1]]).wrong == 0
        assert math.isnan(error_picture(label=np.full((1, 4), 255, np.uint8), prediction=prediction).wrong)

    def test_pictures_are_small(self):
        large = error_picture(
            image=np.zeros((500, 1000, 3), np.uint8),
            label=np.zeros((500, 1000), np.uint8),
            prediction=np.eye(500, 1000, dtype=np.uint8),
        )
        data = base64.b64decode(error_painting(large).removeprefix("data:image/webp;base64,"))
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (160, WIDTH, 4)
        assert small_photograph(large.image).startswith("data:image/jpeg;base64,")


class TestRankedFrames:
    @pytest.mark.parametrize(
        ("scores", "expected"),
        [
            ([0.4, 0.9, 0.1, 0.5, 0.2], {"best": 1, "median": 0, "worst": 2}),
            ([math.nan, 0.3, 0.1], {"best": 1, "worst": 2}),
            ([0.3], {"best": 0}),
            ([math.nan], {}),
            ([], {}),
        ],
    )
    def test_which(self, scores, expected):
        assert ranked_frames(scores) == expected
        assert list(ranked_frames(scores)) == [rank for rank in ("best", "median", "worst") if rank in expected]


class TestMostConfused:
    def test_by_hand(self):
        """100 labelled pixels: 12 of class 0 taken for 1, 5 of class 1 for void."""
        found = most_confused([[60, 12, 0], [3, 20, 5]], most=2)
        assert found == [Confusion(0, 1, 0.12), Confusion(1, None, 0.05)]

    def test_what_is_right_or_rare_is_not_listed(self):
        assert most_confused([[10, 0, 0], [0, 5, 0]]) == []
        assert most_confused([[0, 0, 0], [0, 0, 0]]) == []
        assert most_confused([[9999, 1, 0], [0, 10000, 0]]) == []

    def test_none_is_listed_as_a_share_of_zero(self):
        """Half a percent is written as 0 %, a little more as 1 %."""
        assert most_confused([[995, 5, 0], [0, 0, 0]]) == []
        (listed,) = most_confused([[9949, 51, 0], [0, 0, 0]])
        assert percent(listed.share) == "1 %"


class TestGallery:
    def test_a_report_without_has_no_such_section(self, study, pictures):
        assert 'id="errors"' not in render_page(study, pictures)

    def test_it_says_what_was_confused(self, study, with_errors):
        page = render_page(study, with_errors)
        assert page.count("Best: mIoU 0.610") == 3 and page.count("Worst: mIoU 0.610") == 3
        assert "car + truck + bus</span> → void" in page and '<span class="quiet">12 %</span>' in page

    def test_a_report_with_large_frames_stays_below_three_megabytes(self, study, with_errors):
        noise = np.random.default_rng(0).integers(0, 255, (60, 120, 3), np.uint8)
        photo = cv2.resize(noise, (2048, 1024), interpolation=cv2.INTER_CUBIC)
        blocks = np.random.default_rng(1).integers(0, 19, (64, 128), np.uint8)
        label = cv2.resize(blocks, (2048, 1024), interpolation=cv2.INTER_NEAREST)
        many = [
            error_picture(rank, image=photo, label=label, prediction=label[::-1])
            for rank in ("best", "median", "worst")
        ]
        page = render_page(study, replace(with_errors, errors=dict.fromkeys(COMPARED, many)))
        assert len(page) < 3_000_000

    @pytest.mark.slow
    @pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on the PATH")
    @pytest.mark.parametrize("width", [1200, 420])
    def test_in_a_browser(self, opened, with_errors, width):  # noqa: F811
        hostile = replace(with_errors, errors=with_errors.errors | {"oracle": [error_picture(name=HOSTILE)]})
        driver = opened(width, pictures=hostile)
        section = driver.find_element(By.ID, "errors")
        images = driver.execute_script(
            "return [...document.querySelectorAll('#errors img')].map(image => image.naturalWidth)"
        )
        assert len(images) == 4 * 5 and min(images) > 0
        assert HOSTILE in section.text
        assert driver.execute_script("return document.scripts.length") == 1
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        assert driver.get_log("browser") == []
