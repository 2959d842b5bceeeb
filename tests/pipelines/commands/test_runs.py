"""`sim2real runs` as people type it."""

import json


def test_list(commands, tiny_run):
    done = commands("runs", "list", tiny_run)
    assert (done.code, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.startswith("run ") and len(rows) == 4 and all("  finished  " in row for row in rows)


def test_list_for_programs(commands, tiny_run):
    done = commands("runs", "list", tiny_run, "--json")
    assert {json.loads(line)["what"] for line in done.stdout.splitlines()} == {
        "segmenter ddrnet23_slim",
        "translator cyclegan",
    }


def test_show(commands, tiny_run):
    done = commands("runs", "show", tiny_run / "seed-0/translator")
    assert done.code == 0 and done.stdout.startswith(f"{tiny_run}/seed-0/translator: translator cyclegan, seed 0\n")


def test_no_runs(commands, tmp_path):
    done = commands("runs", "list", tmp_path)
    assert done.code == 4 and "holds no run folder" in done.stderr
    assert commands("runs", "show", tmp_path).code == 2
