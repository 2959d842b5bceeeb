"""The page is one file that shows other people's names: nothing in them may become markup, nothing may be fetched."""

import math
import os
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pipelines.errors import StorageError
from pipelines.experiment.arms import COMPARED
from pipelines.report.error_maps import ErrorPicture
from pipelines.report.pages.page import Gallery, flattened, frame_rows, render_page, translator_curves, write_report
from pipelines.report.study import FrameScore

SECTIONS = ["gap", "classes", "translations", "predictions", "confusion", "curves", "network", "settings", "method"]


class Elements(HTMLParser):
    """All start tags with their attributes, and all text, of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def hostile_copy(study, pictures, text):
    """The study and pictures with `text` in every name that a user or a file system can choose."""
    classes = [f"{name}{text}" for name in study.classes]
    results = [replace(r, frames=[FrameScore(f.name + text, f.mean_iou) for f in r.frames]) for r in study.results]
    words = {key: text for key in ("name", "command", "date", "machine", "validation")}
    network = replace(study.network, input_size=text, device=text, name=text, measurement=text)
    extra = {"versions": {text: text}, "settings": {text: {text: text}, "list": [text]}, "notes": [text]}
    study = replace(study, classes=classes, results=results, network=network, **words, **extra)
    pictures = replace(
        pictures,
        translations=[replace(picture, name=text) for picture in pictures.translations],
        best=[replace(picture, name=text) for picture in pictures.best],
        worst=[replace(picture, name=text) for picture in pictures.worst],
        translator_curve=[(step, {text: 1.0}) for step, _ in pictures.translator_curve],
    )
    return study, pictures


def test_page_has_every_section_and_the_headline(study, pictures):
    elements = Elements(render_page(study, pictures))
    assert [attributes["id"] for tag, attributes in elements.tags if tag == "section"] == SECTIONS
    assert f"Translation closed {study.gap_mean() * 100:.0f} % of the gap" in elements.text
    assert study.command in elements.text and "absent, not counted" in elements.text
    assert "here no class without labels is." in elements.text


def test_class_that_is_predicted_but_never_labelled_is_named(study, pictures):
    """A class without labels scores 0 and pulls the mean down in some arms only, so the reader must know."""
    first = replace(study.results[0], iou=[0.0 if i == 3 else value for i, value in enumerate(study.results[0].iou)])
    text = Elements(render_page(replace(study, results=[first, *study.results[1:]]), pictures)).text
    assert "never labelled, hence counted as 0 there: wall." in text and "not in the labels" in text


def test_classes_that_are_scored_as_one_have_one_colour(study, pictures):
    """Trucks are learnt as cars here: a truck that is seen as a car is right, and looks so."""
    label = np.where(pictures.best[0].label == 13, 14, pictures.best[0].label).astype(np.uint8)
    best = replace(pictures.best[0], label=label, predictions=dict.fromkeys(COMPARED, pictures.best[0].label))
    errors = [ErrorPicture("best", "1", 1.0, best.image, label, pictures.best[0].label, [], study.groups)]
    only = Gallery(best=[best], errors={"oracle": errors})
    shown = {
        attributes["alt"]: attributes["src"]
        for tag, attributes in Elements(render_page(study, only)).tags
        if tag == "img" and "Frame" not in attributes["alt"]
    }
    assert shown[f"Label of {best.name}"] == shown[f"Oracle prediction for {best.name}"]
    assert shown["Label of 1"] == shown["Oracle prediction for 1"]


def test_columns_of_classes_are_called_as_the_arms_are(study, pictures):
    """What closes the gap may be no translation at all."""
    adapted = {"segmenter": {"shares": {"translated": 0.0, "source": 1.0}, "adaptation": {"method": "dacs"}}}
    for settings, name in (({}, "Translated"), (adapted, "DACS")):
        page = render_page(replace(study, settings=settings), pictures)
        headings = page.partition('<table class="classes">')[2].partition("</thead>")[0]
        assert re.findall(r'arm">([^<]*)', headings) == ["Source-only", name, "Oracle"]


def test_keys_name_each_colour_once(study, pictures):
    page = render_page(study, pictures)
    keys = page.partition('aria-label="Class colours"')[2].partition("</ul>")[0]
    assert "car + truck + bus" in keys and keys.count("<li>") == 17


def test_page_is_self_contained(study, pictures):
    page = render_page(study, pictures)
    addresses = [
        value
        for _, attributes in Elements(page).tags
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "poster", "srcset")
    ]
    assert addresses and all(address.startswith(("data:image/", "#")) for address in addresses)
    assert not re.search(r"https?://|//[a-z]+\.|@import|@font-face", re.sub(r"base64,[^\"')]*", "", page))


def test_every_image_and_drawing_is_described(study, pictures):
    for tag, attributes in Elements(render_page(study, pictures)).tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg" and "preserveaspectratio" not in attributes:
            assert attributes["role"] == "img" and attributes["aria-label"]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>'",
        "' onmouseover='alert(1)",
        "</style></title></pre><script>alert(1)</script>",
        "javascript:alert(1)",
        "]]><svg onload=alert(1)>",
        "{{ 7 * 7 }}",
    ],
)
def test_names_never_become_markup(study, pictures, text):
    elements = Elements(render_page(*hostile_copy(study, pictures, text)))
    assert sum(tag == "script" for tag, _ in elements.tags) == 1
    assert not any(name.startswith("on") for _, attributes in elements.tags for name in attributes)
    assert all(attributes.get("src", "data:").startswith("data:") for _, attributes in elements.tags)
    assert text in elements.text


@pytest.mark.parametrize("text", ["nul\x00", "turned\u202etxt", "surrogate\udcff", "bell\x07"])
def test_invisible_characters_are_made_visible(study, pictures, text, tmp_path):
    write_report(*hostile_copy(study, pictures, text), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert not set(page) & {"\x00", "\u202e", "\x07"}
    assert "\ufffd" in page


def test_harm_is_said_plainly(study, pictures):
    worse = [replace(r, mean_iou=0.2) if r.arm == "translated" else r for r in study.results]
    assert "Translation did not help" in Elements(render_page(replace(study, results=worse), pictures)).text


def test_undefined_gap_is_explained(study, pictures):
    level = [replace(r, mean_iou=0.4) for r in study.results]
    text = Elements(render_page(replace(study, results=level), pictures)).text
    assert "The gap is undefined" in text and "undefined" in text and "nan" not in text.lower()


def test_page_of_an_unfinished_comparison(study):
    network = replace(study.network, latency_ms_p50=math.nan, latency_ms_p90=math.nan, frames_per_second=math.nan)
    part = replace(study, results=study.results[:1], network=network, settings={}, notes=[], versions={})
    text = Elements(render_page(part, Gallery())).text
    assert "No seed has all three arms" in text and "not run" in text and "No translated frames" in text
    assert Elements(render_page(replace(part, results=[]), Gallery())).tags


def test_numbers_that_are_missing_show_as_a_dash(study, pictures):
    result = replace(study.results[0], mean_iou=math.nan, interval=(math.nan, math.nan), iou=[None] * 19)
    text = Elements(render_page(replace(study, results=[result]), pictures)).text
    assert "[–, –]" in text and "nan" not in text.lower()


def test_write_report_replaces_in_one_piece(study, pictures, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(study, pictures, path)
    assert path.read_text("utf-8") == render_page(study, pictures)
    assert os.listdir(tmp_path) == ["report.html"]


def test_write_report_names_the_path_it_cannot_write(study, pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"report\.html"):
        write_report(study, pictures, tmp_path / "file" / "report.html")


def test_settings_are_named_as_set_takes_them():
    settings = {"steps": 4, "method": {"cycle_weight": 5.0, "name": "x"}, "empty": {}}
    expected = [("steps", "4"), ("method.cycle_weight", "5.0"), ("method.name", '"x"'), ("empty", "{}")]
    assert list(flattened(settings)) == expected


def test_frames_start_with_the_largest_loss(study):
    rows = frame_rows(study)
    differences = [difference for _, _, difference in rows]
    assert len(rows) == 24 and differences == sorted(differences)


def test_translator_losses_that_start_late_are_kept():
    curves = dict(translator_curves([(0, {"cycle": 1.0}), (10, {"cycle": 0.5, "task": 2.0})]))
    assert curves["cycle"].points == [(0, 1.0), (10, 0.5)]
    assert curves["task"].points == [(10, 2.0)]
