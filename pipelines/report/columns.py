"""Tables for the terminal: columns as wide as what is in them."""

from collections.abc import Collection, Sequence
from itertools import zip_longest


def in_columns(rows: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """A line per row, two spaces between columns.

    Args:
        rows: Cells; a row may be shorter than another.
        left: Numbers of the columns that are flush left; the others are flush right.
    """
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
