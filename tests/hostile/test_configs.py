"""Experiment files that are misspelt, contradictory, foreign or made to hurt: exit code 2, one line."""

import os
import sys

import pytest

from pipelines import cli
from pipelines.experiment.config_file import LARGEST_CONFIG
from pipelines.experiment.experiment import Experiment
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.translators import CycleGANSettings

SAMPLED_EVERY = 3
SETS = """
name = "x"
[[source]]
name = "game"
reader = "toyworld"
renderer = "game"
root = "game"
frames = 2
[[target]]
name = "camera"
reader = "toyworld"
renderer = "camera"
root = "camera"
frames = 2
[[validation]]
name = "val"
reader = "toyworld"
renderer = "camera"
root = "val"
frames = 2
"""


def misspelt(key):
    """The last letter but one is missing."""
    return key[:-2] + key[-1]


KEYS = [
    *(("translator", key) for key in sorted(CycleGANSettings.model_fields) if len(key) > 4 and key != "method"),
    *(("segmenter", key) for key in sorted(SegmenterSettings.model_fields) if len(key) > 4),
]

NUMBERS = ("translator.steps", "translator.height", "segmenter.steps", "segmenter.batch", "segmenter.learning_rate")
NO_NUMBERS = {"text": '"many"', "a list": "[1]", "a table": "{ a = 1 }", "true": "true", "nan": "nan", "inf": "-inf",
              "negative": "-1", "zero": "0"}  # fmt: skip
WRONG_VALUES = {f"{key} is {what}": (key, value) for key in NUMBERS for what, value in NO_NUMBERS.items()}
CONTRADICTIONS = {
    "unknown method": ('[translator]\nmethod = "cyclgan"', "did you mean cyclegan?"),
    "unknown network": ('[segmenter]\nnetwork = "ddrnet24"', "segmenter.network"),
    "unknown loss": ('[segmenter]\nloss = "entropy"', "segmenter.loss"),
    "shares beyond one": ("[segmenter.shares]\ntranslated = 0.9\nsource = 0.9", "shares"),
    "unknown share": ("[segmenter.shares]\nreal = 1.0", "unknown key segmenter.shares.real"),
    "a seed twice": ("[compare]\nseeds = [1, 1]", "hold one twice"),
    "no seeds": ("[compare]\nseeds = []", "compare.seeds"),
    "a table for a value": ("[segmenter.steps]\na = 1", "segmenter.steps"),
    "a value for a table": ("segmenter = 3", "segmenter"),
    "an unknown table": ("[segmentr]\nsteps = 3", "unknown key segmentr: did you mean segmenter?"),
    "a variant of nothing": ('[[variant]]\nname = "a b"', "variant"),
}
NO_TOML = {
    "nothing closed": b"[translator\nsteps = 1",
    "a key twice": b"name = 'a'\nname = 'b'",
    "a table twice": b"[segmenter]\nsteps = 1\n[segmenter]\nbatch = 1",
    "YAML": b"name: x\nsource:\n  - name: game\n",
    "JSON": b'{"name": "x"}',
    "YAML that makes an object": b"!!python/object/apply:os.system ['touch canary']",
    "not UTF-8": b"name = \"\xff\xfe\"",
    "UTF-16": "name = 'x'".encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbfname = 'x'",
    "a NUL": b"name = 'x\0'",
    "binary": bytes(range(256)) * 4,
    "a bare word": b"steps",
    "deeply nested": b"a = " + b"[" * 50_000 + b"]" * 50_000,
    "deeply dotted": b".".join([b"a"] * 5_000) + b" = 1",
    "a number without end": b"segmenter.steps = " + b"9" * 10_000,
    "a key without end": b"a" * 100_000 + b" = 1",
    "too large": b"#" * (LARGEST_CONFIG + 1),
    "much too large": b"a = 1\n" + b"#" * (10 * 2**20),
    "empty": b"",
    "only a comment": b"# nothing\n",
}  # fmt: skip
PLACES = ("missing", "folder", "pipe", "device", "loop", "dangling", "under a file", "name too long")


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """A function: a path, more arguments -> the one line that `config show` says of it."""

    def run(path, *more):
        monkeypatch.setattr(sys, "argv", ["sim2real", "config", "show", str(path), *more])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        assert stopped.value.code == 2, said.err
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
        assert len(said.err) < 2000, "nobody reads this"
        assert not (tmp_path / "canary").exists()
        return said.err

    return run


def written(folder, content):
    path = folder / "x.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_experiment_is_whole_to_begin_with(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["sim2real", "config", "show", str(written(tmp_path, SETS))])
    cli.main()
    assert Experiment.model_validate_json(capsys.readouterr().out).name == "x"


@pytest.mark.parametrize(("table", "key"), KEYS, ids=lambda value: value)
def test_a_misspelt_key_is_told_with_the_right_one(refused, tmp_path, table, key):
    said = refused(written(tmp_path, f"{SETS}[{table}]\n{misspelt(key)} = 1\n"))
    assert f"unknown key {table}.{misspelt(key)}: did you mean {key}?" in said and "x.toml" in said


@pytest.mark.parametrize("wrong", WRONG_VALUES)
def test_a_value_that_is_none(refused, tmp_path, wrong):
    key, value = WRONG_VALUES[wrong]
    table, _, name = key.partition(".")
    said = refused(written(tmp_path, f"{SETS}[{table}]\n{name} = {value}\n"))
    assert name in said
    assert name in refused(written(tmp_path, SETS), "--set", f"{key}={value}")


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_what_contradicts_itself(refused, tmp_path, what):
    text, expected = CONTRADICTIONS[what]
    text = f"{text}\n{SETS}" if text.startswith("segmenter =") else f"{SETS}{text}\n"
    assert expected in refused(written(tmp_path, text))


@pytest.mark.parametrize("what", NO_TOML)
def test_what_is_no_experiment(refused, tmp_path, what):
    assert "x.toml" in refused(written(tmp_path, NO_TOML[what]))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file(refused, tmp_path, place):
    path = tmp_path / "x.toml"
    if place == "folder":
        path.mkdir()
    elif place == "pipe":
        os.mkfifo(path)
    elif place in ("device", "loop", "dangling"):
        path.symlink_to({"device": "/dev/zero", "loop": path, "dangling": tmp_path / "nowhere"}[place])
    elif place == "under a file":
        (tmp_path / "file").touch()
        path = tmp_path / "file/x.toml"
    elif place == "name too long":
        path = tmp_path / ("x" * 300)
    assert "cannot read" in refused(path)


CHANGES = (
    *("steps", "=3", "segmenter.steps", "segmenter.steps=", "segmenter..steps=3", "x=1", "segmenter.steps=3=4"),
    *("segmenter=3", "source.9.frames=2", "source.x.frames=2"),
)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_none(refused, tmp_path, change):
    said = refused(written(tmp_path, SETS), "--set", change)
    assert change in said or change.partition("=")[0].rpartition(".")[2] in said
