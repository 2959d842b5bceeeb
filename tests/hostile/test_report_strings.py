"""Names of frames, classes, machines and settings that would be markup or script on a page: they stay text."""

import pytest

from pipelines.report.pages.page import render_page
from tests.pipelines.report.conftest import pictures, study
from tests.pipelines.report.pages.test_page import Elements, hostile_copy

__all__ = ["pictures", "study"]

SAMPLED_EVERY = 5
STRINGS = (
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "</script><script>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '" onfocus="alert(1)" autofocus="',
    "` onclick=alert(1) `",
    "</style></title></pre></textarea><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><svg onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x>",
    "<math><mtext><script>alert(1)</script></mtext></math>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<base href='//evil.example/'>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<form action=//evil.example><input name=a></form>",
    "<object data=//evil.example></object><embed src=//evil.example>",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "url(javascript:alert(1))",
    "expression(alert(1)); behavior: url(x)",
    "{{ 7 * 7 }}{% raw %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)",
    "\\u003cscript\\u003ealert(1)",
    "%3Cscript%3Ealert(1)",
    "+ADw-script+AD4-alert(1)",
    "<" * 500,
    "a" * 1_000,
)
INVISIBLE = (
    "nul\x00",
    "turned\u202egnp",
    "isolated\u2066x",
    "surrogate\udcff",
    "bell\x07",
    "escape\x1b[2J",
    "c1\x9b31m",
)
TAGS_THAT_ACT = {"iframe", "object", "embed", "base", "form", "link", "math", "animate", "textarea"}


@pytest.fixture
def page(study, pictures):
    """A function: a text -> the elements of a page on which it is every name there is."""
    whole = Elements(render_page(study, pictures))
    return lambda text: (whole, Elements(render_page(*hostile_copy(study, pictures, text))))


@pytest.mark.parametrize("text", STRINGS, ids=lambda text: text[:40])
def test_it_stays_text(page, text):
    whole, found = page(text)
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == [tag for tag, _ in whole.tags].count("script") == 1
    assert tags.count("meta") == [tag for tag, _ in whole.tags].count("meta")
    assert not TAGS_THAT_ACT & set(tags) - {tag for tag, _ in whole.tags}
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "action", "data", "srcdoc", "poster"):
            assert attributes.get(name, "data:image/").startswith(("data:image/", "#")), (tag, name)
        assert "javascript:" not in attributes.get("style", "")
    assert text in found.text


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_what_cannot_be_seen_is_shown_as_such(page, text):
    _, found = page(text)
    assert text not in found.text and "\ufffd" in found.text
    assert text[:2] in found.text
