"""Names as a person may see them: what is typed, stored or named elsewhere can hide things from a reader or a terminal.

An escape sequence in a file's name clears a screen or worse, and a direction override shows "exe.png" for "gnp.exe".
"""

import re

INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, direction overrides and broken Unicode: what a name may hide from, or do to, its reader."""


def printable(text: str) -> str:
    """The text with a replacement mark in place of each invisible character; tabs and line ends stay."""
    return INVISIBLE.sub("\ufffd", text)
