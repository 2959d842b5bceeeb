"""What cannot be seen, or turns what can be seen, is replaced by a mark; the rest stays."""

import pytest

from pipelines.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[2Jb", "a\ufffd[2Jb"),
        ("turned\u202egnp.exe", "turned\ufffdgnp.exe"),
        ("nul\x00 bell\x07 surrogate\udcff", "nul\ufffd bell\ufffd surrogate\ufffd"),
        ("tab\t, line\n, ä, 東京, 🚗", "tab\t, line\n, ä, 東京, 🚗"),
    ],
)
def test_invisible_characters_are_made_visible(text, shown):
    assert printable(text) == shown
