"""Markdown as a renderer takes it: cells stay cells, and other people's names are no markup."""

from pipelines.report import markdown


def test_a_table_has_a_line_under_its_headings():
    assert markdown.table([["", "mIoU"], ["a", "0.5"]]) == "|  | mIoU |\n| --- | --- |\n| a | 0.5 |"


def test_a_cell_cannot_break_out():
    assert markdown.table([["a|b"], ["c\nd"]]) == "| a\\|b |\n| --- |\n| c d |"
    assert markdown.escaped("x\\|y <b> `c`\t d") == "x\\\\\\|y &lt;b> \\`c\\` d"


def test_code_ends_where_it_is_told_to():
    assert markdown.code("run `x`") == "`run 'x'`"
