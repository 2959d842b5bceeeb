"""Rows in columns: names flush left, numbers flush right, no row pushed out of line by a long name."""

from pipelines.report.columns import in_columns


def test_columns_are_as_wide_as_what_is_in_them():
    rows = [["", "IoU", "note"], ["a long name", "0.5", "*"], [], ["b", "12.25"]]
    assert in_columns(rows, left=(0, 2)) == [
        "               IoU  note",
        "a long name    0.5  *",
        "",
        "b            12.25",
    ]


def test_all_columns_may_be_flush_left():
    assert in_columns([["a", "bb"], ["cc", "d"]], left=range(2)) == ["a   bb", "cc  d"]
