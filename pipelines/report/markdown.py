"""Markdown of what was measured: tables, and text that cannot break out of a cell or start markup."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table, without a line end at its end.

    Args:
        rows: Headings first; cells as people read them.
    """
    lines = ["| " + " | ".join(map(escaped, row)) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text on one line in which nothing is markup: other people's names stay what they are."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")


def code(text: str) -> str:
    """A command as code; a backtick in it would end it, and becomes an apostrophe."""
    return f"`{text.replace('`', chr(39))}`"
