"""What a record writes: plain JSON, whatever its values were, and a sentence of where it comes from."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.report.record import Record, plain


def record(**settings):
    return Record("toy", "sim2real x", "2026-11-28", "two cores", {"torch": "2.11"}, "4 frames", settings)


def test_a_record_as_json():
    text = record(weight=np.float32(0.5), levels=(1, 2), low=-math.inf).to_json()
    assert text.endswith("}\n") and text.isascii()
    assert json.loads(text) == {
        "name": "toy",
        "command": "sim2real x",
        "date": "2026-11-28",
        "machine": "two cores",
        "versions": {"torch": "2.11"},
        "validation": "4 frames",
        "settings": {"weight": 0.5, "levels": [1, 2], "low": None},
        "unusable": {},
        "interval_over": "frames",
    }


def test_where_it_comes_from():
    assert record().origin() == "Command: `sim2real x`; machine: two cores; date: 2026-11-28."


def test_a_command_stays_one_piece_of_code():
    """A backtick ends code in Markdown, and a machine's name may hold markup."""
    hostile = replace(record(), command="sim2real x --run `a`", machine="two <b>cores")
    assert hostile.origin().startswith("Command: `sim2real x --run 'a'`; machine: two &lt;b>cores;")


def test_frames_that_were_left_out_are_said_beside_it():
    unusable = {"gta5": {"00003": "cut off"}, "camvid": {f"f{number}": "unknown id" for number in range(7)}}
    of_six = replace(record(), unusable=unusable)
    assert of_six.origin().endswith(
        "date: 2026-11-28. Frames left out because they cannot be used: 1 of gta5 (00003); "
        "7 of camvid (f0, f1, f2, f3, f4, …)."
    )
    assert json.loads(of_six.to_json())["unusable"] == unusable


@pytest.mark.parametrize(
    "value, expected",
    [
        (np.int64(3), 3),
        (np.float64("nan"), None),
        (math.inf, None),
        (True, True),
        (None, None),
        ({3: {"a": math.nan}}, {"3": {"a": None}}),
        ((1, [np.bool_(False)]), [1, [False]]),
        (Path("runs/a"), "runs/a"),
        ("na\udce4me", "na?me"),  # a byte of a file name that is no UTF-8
    ],
)
def test_values_as_json_can_hold_them(value, expected):
    assert plain(value) == expected and type(plain(value)) is type(expected)
