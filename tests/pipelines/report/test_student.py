"""The table of a student beside its teacher: rows, dashes, the sentence."""

import json
import math
from dataclasses import replace

from pipelines.report.student import SPEED, Measure, StudentStudy, markdown_table

ORIGIN = ("toy", "sim2real translate distill toy.toml", "2026-11-28", "a machine", {}, "val", {})


def study(*measures, expert="oracle"):
    return StudentStudy(*ORIGIN, seed=3, frames=20, expert=expert, measures=list(measures))


SPEEDS = Measure(SPEED, "higher", {"teacher": 0.5, "student": 10.25})


def test_a_row_has_a_dash_where_there_is_no_figure():
    measure = Measure("KID", "lower", {"source": math.nan, "teacher": 0.123456, "student": None})
    assert measure.cells() == ["KID", "–", "0.1235", "–", "lower"]


def test_the_sentence_says_how_much_faster():
    assert study(SPEEDS).headline() == "The student's network is 20.5 times as fast as its teacher's."
    assert study().headline() == "A student beside its teacher."
    layouts = Measure(SPEED, "higher", {"teacher": None, "student": 3.0})
    assert study(layouts).headline() == "A student beside its teacher."


def test_the_table():
    lines = markdown_table(study(SPEEDS, Measure("a|b", "", {}))).splitlines()
    assert lines[0] == "| measure | source | teacher | student | better |"
    assert lines[2] == f"| {SPEED} | – | 0.5 | 10.25 | higher |"
    assert lines[3] == "| a\\|b | – | – | – |  |"
    assert lines[5].startswith("20 frames, seed 3; label consistency by oracle. Command: `sim2real translate distill")


def test_names_do_not_steer_a_terminal_and_can_be_written():
    """A frame's name of bytes that are no UTF-8 reaches the record with a lone surrogate in it."""
    hostile = replace(study(SPEEDS), unusable={"game": {"\udcff\x1b[2J.png": "empty"}})
    table = markdown_table(hostile)
    assert "1 of game (\ufffd\ufffd[2J.png)" in table and table.encode().endswith(b"\n")


def test_the_record_is_json():
    assert json.loads(study(SPEEDS).to_json())["measures"][0]["values"]["student"] == 10.25
