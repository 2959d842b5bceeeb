"""Templates escape what is others' text, know our words, and refuse a name that nobody gave them."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from jinja2 import DictLoader, UndefinedError

from pipelines.report.pages import templates
from pipelines.report.pages.templates import rendered


@pytest.fixture
def page(monkeypatch):
    """Render a template's text."""

    def render(text, **values):
        monkeypatch.setattr(templates, "PackageLoader", lambda *_: DictLoader({"page.html": text}))
        return rendered("page.html", **values)

    return render


def test_text_never_becomes_markup(page):
    assert page("<b>{{ name }}</b>", name='<i>&"') == "<b>&lt;i&gt;&amp;&#34;</b>"


def test_invisible_characters_are_replaced(page):
    assert page("{{ name }}", name="a\u202eb") == "a\ufffdb"


def test_a_name_that_nobody_gave_is_an_error(page):
    with pytest.raises(UndefinedError, match="'titel' is undefined"):
        page("{{ titel }}", title="x")


def test_the_projects_words_and_colours_are_at_hand(page):
    assert page("{{ 0.51234 | score }} {{ None | score }}") == "0.512 –"
    assert page("{{ colour(0) }}") == "#804080", "Cityscapes' road: 128, 64, 128"


def test_the_policys_hash_is_that_of_the_script(page):
    script, named = re.fullmatch(r"(.*)HASH(.*)", page("{{ script }}HASH{{ script_hash }}"), re.DOTALL).groups()
    assert "document" in script and "&quot;" not in script
    assert base64.b64decode(named) == hashlib.sha256(script.encode()).digest()


def test_every_page_stands_on_the_one_base():
    """Its head holds the policy that lets nothing be loaded: a page with a head of its own would do without."""
    folder = Path(templates.__file__).parent
    parts = {"base.html", "script.html", "style.html", "features_parts.html"}
    pages = {path.name: path.read_text() for path in folder.glob("*.html") if path.name not in parts}
    assert "template.html" in pages and "Content-Security-Policy" in (folder / "base.html").read_text()
    for name, text in pages.items():
        assert text.startswith('{% extends "base.html" %}\n') and "<head>" not in text, f"{name}: extend base.html"
