"""`segment features` as a person types it."""

import json
from pathlib import Path

import pytest

from pipelines.commands.segment.features import named_checkpoints, segment_features
from pipelines.errors import StorageError, UserError
from tests.pipelines.commands.typed import typed

MACHINE = ("--device", "cpu", "--threads", 1)
SMALL = ("--frames", 4, "--per-class", 20, "--points", 150, "--perplexity", 8)


def test_the_arms_of_an_experiment(copied_run, tiny_config, cpu):
    output = typed(segment_features, tiny_config, "--run", copied_run, *SMALL, *MACHINE)
    assert f"page: {copied_run / 'features.html'}" in output and output.count("class centres") == 9
    written = json.loads((copied_run / "features.json").read_text())
    assert written["perplexity"] == 8 and written["most_per_class"] == 20
    assert written["domains"] == {"source": 4, "translated": 4, "target": 4}


def test_named_segmenters_and_another_output(tiny_run, tiny_config, tmp_path, cpu):
    before = (tiny_run / "features.html").read_bytes()
    output = typed(
        segment_features, tiny_config, "--run", tiny_run, "--seed", 0, "--output", tmp_path / "x/look.html",
        "--checkpoint", f"before={tiny_run / 'seed-0/source_only'}", "--checkpoint", tiny_run / "seed-0/oracle",
        *SMALL, *MACHINE,
    )  # fmt: skip
    assert "before " in output and "oracle " in output
    assert (tmp_path / "x/look.html").exists() and (tmp_path / "x/look.json").exists()
    assert (tiny_run / "features.html").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "=x"), "--checkpoint =x: expected NAME=PATH or PATH"),
        (("--checkpoint", "a=x", "--checkpoint", "a=y"), "two are called 'a'"),
        (("--output", "page.txt"), "--output page.txt: the page is HTML"),
        (("--run", "{tmp}/none"), "no arm of seed 0 is trained"),
        (
            ("--perplexity", "90"),
            "--perplexity 90 takes more than 271 points in a picture, and there are only 150; give one from 2 to less "
            "than 49.6, or use a larger --points",
        ),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tiny_run, tiny_config, tmp_path, cpu, arguments, message):
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    with pytest.raises(UserError) as refused:
        typed(segment_features, tiny_config, "--run", tiny_run, *SMALL, *MACHINE, *arguments)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_page_that_could_not_be_written_is_refused_before_the_work(tiny_run, tiny_config, tmp_path, cpu, played):
    study = played("pipelines.stages.features.feature_study.study_features")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StorageError, match=r"notes\.txt: cannot write: Not a directory"):
        typed(segment_features, tiny_config, "--run", tiny_run, "--output", tmp_path / "notes.txt/out.html", *MACHINE)
    assert study.given == []


def test_a_checkpoint_is_called_by_its_run_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert named_checkpoints(("old=~/b",)) == {"old": Path("/home/me/b")}
    assert named_checkpoints(("runs/x/oracle", "old=a/b")) == {"oracle": Path("runs/x/oracle"), "old": Path("a/b")}
    assert list(named_checkpoints(("runs/x/oracle/checkpoints/step-9",))) == ["oracle"]
