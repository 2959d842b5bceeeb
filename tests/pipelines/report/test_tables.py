"""The terminal's table and the README's show every seed and where the numbers come from."""

from dataclasses import replace

import pytest

from pipelines.report.tables import format_table, markdown_table, spread


@pytest.fixture
def two_seeds(study):
    """Seeds 0 and 1 with hand-made scores; gap closed 50 % and 12.5 %, and 25 % of the means."""
    scores = {"source_only": (0.3, 0.4), "translated": (0.4, 0.45), "oracle": (0.5, 0.8)}
    template = replace(study.results[0], interval=(0.1, 0.9))
    results = [
        replace(template, arm=arm, seed=seed, mean_iou=pair[seed]) for arm, pair in scores.items() for seed in (0, 1)
    ]
    return replace(study, results=results)


def rows(text):
    return {line.split("  ")[0]: [cell.strip() for cell in line.split("  ")[1:] if cell] for line in text.splitlines()}


def test_format_table(two_seeds):
    found = rows(format_table(two_seeds))
    assert found["source-only"] == ["0.300 [0.100, 0.900]", "0.400 [0.100, 0.900]", "0.350 ± 0.071"]
    assert found["translated"] == ["0.400 [0.100, 0.900]", "0.450 [0.100, 0.900]", "0.425 ± 0.035"]
    assert found["oracle"] == ["0.500 [0.100, 0.900]", "0.800 [0.100, 0.900]", "0.650 ± 0.212"]
    assert [cell for cell in found["gap closed"] if cell] == ["50 %", "12 %", "25 %"]


def test_format_table_says_headline_and_speed(two_seeds):
    text = format_table(two_seeds)
    assert text.startswith("Translation closed 25 % of the gap")
    assert "27.4 frames/s at 480x360" in text and "36.5 ms (median), 41.2 ms (90th percentile)" in text
    assert text.endswith("\n")


def test_both_tables_say_what_intervals_were_drawn_over(two_seeds):
    drawn = replace(two_seeds, interval_over="26 drives")
    assert "mean IoU [95 % interval over 26 drives]" in format_table(drawn)
    assert "in brackets the 95 % bootstrap interval over 26 drives." in markdown_table(drawn)
    assert "interval over frames" in format_table(two_seeds)  # records of former versions do not say


def test_terminal_is_not_steered_by_names(two_seeds):
    text = format_table(replace(two_seeds, validation="red\x1b[31m"))
    assert "\x1b" not in text and "red\ufffd[31m" in text


def test_undefined_gap_and_missing_arm_are_said(two_seeds):
    without = replace(two_seeds, results=[r for r in two_seeds.results if (r.arm, r.seed) != ("oracle", 1)])
    text = format_table(without)
    assert "not run" in text and "undefined" in text


def test_empty_study_still_has_a_table(study):
    text = format_table(replace(study, results=[]))
    assert "No seed has all three arms" in text and "source-only" in text


def test_markdown_table(two_seeds):
    lines = markdown_table(two_seeds).splitlines()
    assert lines[0] == "|  | seed 0 | seed 1 | mean ± std |"
    assert lines[1] == "| --- | --- | --- | --- |"
    assert lines[-1].startswith("Command: `sim2real compare --config") and lines[-1].endswith("date: 2026-11-21.")
    assert "| gap closed | 50 % | 12 % | 25 % |" in lines


def test_markdown_says_which_frames_were_left_out(two_seeds):
    left = replace(two_seeds, unusable={"val": {"a|b.png": "cut off"}})
    assert markdown_table(left).endswith("Frames left out because they cannot be used: 1 of val (a\\|b.png).\n")


def test_markdown_cannot_be_broken_by_names(two_seeds):
    text = markdown_table(replace(two_seeds, validation="a|b <script>\nc", command="x `y`"))
    assert "a\\|b &lt;script> c" in text and "`x 'y'`" in text


def test_markdown_does_not_steer_a_terminal_and_can_be_written(two_seeds):
    """A path of bytes that are no UTF-8 has a lone surrogate where a command line has it."""
    text = markdown_table(replace(two_seeds, validation="red\x1b[31m", command="sim2real compare \udcff.toml"))
    assert "red\ufffd[31m" in text and "compare \ufffd.toml" in text and text.encode().endswith(b"\n")


def test_spread_of_one_seed_is_the_score_alone():
    assert spread([0.4]) == "0.400"
