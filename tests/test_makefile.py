"""The Makefile's chain, with a stand-in for the command line: what is run, in which order, and what is left alone.

The stand-in notes its calls and touches what the real stage would write last.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipelines.hangs import HANGS_S

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")]

ROOT = Path(__file__).parents[1]
STAND_IN = """#!/bin/sh
# Frames and settings are stood for by files in $CONTENT, one for each stage's inputs.
case "$1 $2" in
"config inputs")
    mkdir -p "$RUN/inputs"
    for name in translator translation segmenter report; do
        cmp -s "$CONTENT/$name" "$RUN/inputs/$name.json" || cp "$CONTENT/$name" "$RUN/inputs/$name.json"
    done
    exit 0 ;;
"translate train") output=seed-0/translator/final.json ;;
"translate experiment") output=seed-0/translated/manifest.jsonl ;;
"translate distill") output=student/seed-0/student.html ;;
"segment train") output=seed-0/translated_net/final.json ;;
compare*) output=report.html ;;
variants*) output=variants.html ;;
*) echo "unexpected: $*" >&2; exit 2 ;;
esac
echo "$*" >> "$CONTENT/calls"
printf '%s\\n' "$@" > "$CONTENT/words"
mkdir -p "$(dirname "$RUN/$output")"
[ -e "$RUN/$output" ] || echo made > "$RUN/$output"
[ "$1" != "$FAIL" ] || exit 3
"""
TRANSLATE, USE, SEGMENT, COMPARE = "translate train", "translate experiment", "segment train", "compare"
DISTILL, VARIANTS = "translate distill", "variants"


class Folder:
    """A run folder with a stand-in environment; `make(...)` gives the stages that were run."""

    def __init__(self, path):
        self.path, self.content, self.run = path, path / "content", path / "run"
        self.content.mkdir()
        for name in ("translator", "translation", "segmenter", "report"):
            (self.content / name).write_text("first")
        command = path / "venv/bin/sim2real"
        command.parent.mkdir(parents=True)
        command.write_text(STAND_IN)
        command.chmod(0o755)
        (path / "venv/installed").touch()
        self.output = self.errors = ""

    def make(self, target, *variables, fails="", code=0):
        (self.content / "calls").write_text("")
        done = subprocess.run(
            ["make", target, f"VENV={self.path / 'venv'}", f"RUN={self.run}", *variables],
            cwd=ROOT,
            env=os.environ | {"CONTENT": str(self.content), "RUN": str(self.run), "FAIL": fails, "MAKEFLAGS": ""},
            capture_output=True,
            text=True,
            timeout=HANGS_S,
        )
        assert done.returncode == code, done.stderr
        self.output, self.errors = done.stdout, done.stderr
        self.calls = (self.content / "calls").read_text().splitlines()
        stages = (TRANSLATE, USE, DISTILL, SEGMENT, COMPARE, VARIANTS)
        return [next(stage for stage in stages if call.startswith(stage)) for call in self.calls]

    def arguments(self, target, *variables):
        """The words of the last command of a target."""
        self.make(target, *variables)
        return (self.content / "words").read_text().splitlines()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def tested(folder):
    """A function: target -> what it has Python do, and with which environment."""
    python = folder.path / "venv/bin/python"
    python.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS [$PYTHONDONTWRITEBYTECODE] $*" > "$CONTENT/tested"\n')
    python.chmod(0o755)

    def make(target):
        folder.make(target)
        return (folder.content / "tested").read_text().split()

    return make


def test_tests_compute_on_one_thread_and_keep_byte_code(tested, monkeypatch):
    """Also where an image of a container says to keep none."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for target in ("test-pipelines", "test-others", "test-runtimes", "test-chaos"):
        assert tested(target)[:4] == ["1", "[]", "-m", "pytest"]


def test_whatever_bears_the_mark_of_runtimes_is_tested_as_such(tested):
    words = tested("test-runtimes")
    mark = ".".join(("pytest", "mark", "runtimes"))  # in full, this file would bear it
    marked = {path for path in (ROOT / "tests").rglob("test_*.py") if mark in path.read_text(encoding="utf-8")}
    assert len(marked) > 5 and words[4:6] == ["-m", "runtimes"]
    assert {ROOT / word for word in words[6:]} == marked


def test_a_student_comes_after_its_teachers_frames(folder):
    assert folder.make("translate", "STUDENT=1") == [TRANSLATE, USE, DISTILL]
    assert f"translated frames: {folder.run}/student/seed-0/translated/" in folder.output
    assert folder.make("translate") == []


@pytest.mark.parametrize(
    ("sets", "option"),
    [
        ("[[validation]]\n[[test]]\n", " --test"),
        ("\t[[ test ]]\n", " --test"),
        ('test = [{ name = "x" }]\n', " --test"),
        ("[[validation]]\n# [[test]]\n", ""),
    ],
)
def test_a_recipe_is_scored_on_test_frames_where_there_are_some(folder, sets, option):
    config = folder.path / "mine.toml"
    config.write_text(sets)
    assert folder.make("recipe", f"CONFIG={config}", "DATA=/frames", "ARGS=--threads 1") == [VARIANTS]
    assert folder.calls == [f"variants {config} --data /frames --run {folder.run}{option} --threads 1"]


@pytest.mark.parametrize(
    ("shares", "setting", "stages"),
    [
        ("shares = { translated = 0.0, source = 1.0 }", "", [SEGMENT, COMPARE]),
        ("shares = { source = 1.0, translated=0 }  # no translator", "", [SEGMENT, COMPARE]),
        ("  shares.translated = 0.0", "", [SEGMENT, COMPARE]),
        ("[segmenter.shares]\ntranslated = 0.0\nsource = 1.0", "", [SEGMENT, COMPARE]),
        ("[ segmenter . shares ]\n  source = 1.0\n  translated = 0  # none", "", [SEGMENT, COMPARE]),
        ("[segmenter.shares]\ntranslated = 0.5\nsource = 0.5", "", [TRANSLATE, USE, SEGMENT, COMPARE]),
        (
            '[[variant]]\n[variant.settings."segmenter.shares"]\ntranslated = 0.0',
            "",
            [TRANSLATE, USE, SEGMENT, COMPARE],
        ),
        ("shares = { translated = 0.05, source = 0.95 }", "", [TRANSLATE, USE, SEGMENT, COMPARE]),
        ("shares = { translated = 0.5, source = 0.0 }", "", [TRANSLATE, USE, SEGMENT, COMPARE]),
        ('"segmenter.shares" = { translated = 0.0, source = 1.0 }', "", [TRANSLATE, USE, SEGMENT, COMPARE]),
        (
            "shares = { translated = 0.0, source = 1.0 }",
            "segmenter.shares.translated=1",
            [TRANSLATE, USE, SEGMENT, COMPARE],
        ),
    ],
)
def test_no_translator_is_trained_for_a_segmenter_that_learns_from_no_translated_frame(folder, shares, setting, stages):
    config = folder.path / "mine.toml"
    config.write_text(f"[segmenter]\n{shares}\n")
    assert folder.make("eval", f"CONFIG={config}", f"SET={setting}") == stages
    assert folder.make("eval", f"CONFIG={config}", f"SET={setting}") == []


def test_what_a_config_includes_counts_and_its_own_words_count_more(folder):
    (folder.path / "parts").mkdir()
    (folder.path / "parts/sets.toml").write_text("[[test]]\n")
    (folder.path / "parts/network.toml").write_text("[segmenter]\nshares = { translated = 0.0, source = 1.0 }\n")
    config, above = folder.path / "mine.toml", folder.path / "above.toml"
    config.write_text("# include = ['no.toml']\ninclude = [\n    'parts/sets.toml',\n    \"parts/network.toml\",\n]\n")
    assert folder.make("recipe", f"CONFIG={config}") == [VARIANTS] and folder.calls[-1].endswith(" --test")
    assert folder.make("eval", f"CONFIG={config}") == [SEGMENT, COMPARE]
    above.write_text('include = ["mine.toml"]\n[segmenter]\nshares.translated = 0.5\n')
    assert folder.make("eval", f"CONFIG={above}") == [TRANSLATE, USE, SEGMENT, COMPARE]
    assert folder.make("recipe", f"CONFIG={above}") == [VARIANTS] and folder.calls[-1].endswith(" --test")


def test_what_the_last_file_builds_on_counts_more_than_the_file_before_it(folder):
    (folder.path / "first.toml").write_text("[segmenter]\nshares.translated = 1.0\n")
    (folder.path / "deep.toml").write_text("[segmenter]\nshares.translated = 0.0\n")
    (folder.path / "last.toml").write_text('include = ["deep.toml"]\n')
    (folder.path / "mine.toml").write_text('include = ["first.toml", "last.toml"]\n')
    assert folder.make("eval", f"CONFIG={folder.path / 'mine.toml'}") == [SEGMENT, COMPARE]


@pytest.mark.parametrize(("target", "stages"), [("recipe", [VARIANTS]), ("translate", [TRANSLATE, USE])])
def test_a_config_that_is_not_there_is_left_to_the_command_to_speak_of(folder, target, stages):
    assert folder.make(target, "CONFIG=missing.toml") == stages
    assert folder.errors == ""


def test_the_recipe_without_labels_is_the_standard_one(folder):
    folder.make("recipe")
    assert folder.calls == [f"variants pipelines/configs/best_unsupervised.toml --data data --run {folder.run} --test"]


def test_a_recipe_is_that_of_the_environment_where_that_names_one(folder, monkeypatch):
    monkeypatch.setenv("CONFIG", "mine.toml")
    folder.make("recipe")
    assert folder.calls == [f"variants mine.toml --data data --run {folder.run}"]


def test_the_stages_run_in_order_and_then_there_is_nothing_to_do(folder):
    assert folder.make("eval") == [TRANSLATE, USE, SEGMENT, COMPARE]
    assert folder.make("eval") == []
    assert folder.make("eval") == []


def test_each_target_runs_what_it_needs(folder):
    assert folder.make("translate") == [TRANSLATE, USE]
    assert folder.make("train-seg") == [SEGMENT]
    assert folder.make("eval") == [COMPARE]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (["segmenter", "report"], [SEGMENT, COMPARE]),
        (["segmenter"], [SEGMENT, COMPARE]),
        (["report"], [COMPARE]),
        (["translation", "segmenter", "report"], [USE, SEGMENT, COMPARE]),
        (["translator", "translation", "segmenter", "report"], [TRANSLATE, USE, SEGMENT, COMPARE]),
    ],
)
def test_changed_content_reruns_what_depends_on_it(folder, changed, expected):
    folder.make("eval")
    for name in changed:
        (folder.content / name).write_text("second")
    assert folder.make("eval") == expected
    assert folder.make("eval") == []


def test_a_touched_config_reruns_nothing(folder):
    folder.make("eval")
    config = folder.path / "toyworld.toml"
    config.write_text("")
    assert folder.make("eval", f"CONFIG={config}") == []


def test_one_translator_of_all_seeds_serves_another_from_its_own_folder(folder):
    """The stand-in writes to that of seed 0, as the command does with compare.one_translator."""
    assert folder.make("translate", "SEED=1") == [TRANSLATE, USE]
    assert not (folder.run / "seed-1").exists()


def test_a_removed_output_is_made_again(folder):
    folder.make("eval")
    (folder.run / "seed-0/translated_net/final.json").unlink()
    assert folder.make("eval") == [SEGMENT, COMPARE]


def test_a_stage_that_fails_is_run_again(folder):
    assert folder.make("eval", fails="segment", code=2) == [TRANSLATE, USE, SEGMENT]
    assert folder.make("eval") == [SEGMENT, COMPARE]


def test_variables_reach_the_commands(folder):
    folder.make(
        "eval", "CONFIG=my.toml", "DATA=/frames", "SET=translator.steps=2 segmenter.batch=4", "ARGS=--threads 1"
    )
    common = f"my.toml --data /frames --run {folder.run} --set translator.steps=2 --set segmenter.batch=4"
    assert folder.calls == [
        f"translate train {common} --seed 0 --restart --threads 1",
        f"translate experiment {common} --seed 0 --restart --threads 1",
        f"segment train {common} --seed 0 --restart --threads 1",
        f"compare {common} --restart --threads 1",
    ]


def test_a_space_in_a_path_is_part_of_it(folder):
    """Commands, the config's name and what it includes alike; ~ still stands for one's home."""
    (folder.path / "my configs").mkdir()
    config = folder.path / "my configs/so far.toml"
    config.write_text('include = ["parts.toml"]\n')
    (config.parent / "parts.toml").write_text("[segmenter.shares]\ntranslated = 0.0\n[[test]]\n")
    assert folder.make("train-seg", f"CONFIG={config}", "DATA=/my frames") == [SEGMENT]
    words = folder.arguments("recipe", f"CONFIG={config}", "DATA=/my frames")
    assert words == ["variants", str(config), "--data", "/my frames", "--run", str(folder.run), "--test"]
    assert folder.arguments("recipe", "DATA=~/frames")[3] == f"{Path.home()}/frames"


def test_a_run_folder_with_a_space_is_refused_at_once(folder):
    folder.make("eval", "RUN=my runs/first", code=2)
    assert 'RUN is "my runs/first"' in folder.errors and "choose a folder without a space" in folder.errors
    assert len(folder.errors.splitlines()) == 1 and folder.calls == []


def test_alone_it_prints_every_target(folder):
    folder.make("help")
    shown = folder.output
    alone = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, env=os.environ | {"MAKEFLAGS": ""}
    ).stdout
    assert alone == shown
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()) - {"FORCE"}
    assert {"setup", "demo", "test", "translate", "train-seg", "eval", "clean"} <= phony
    assert [target for target in sorted(phony) if f"  make {target} " not in shown] == []


STAND_IN_PYTHON = """#!/bin/sh
# Stands for Python, and for that of the environment it makes, whose pip tells what it fetches unless it is to be quiet.
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python"; exit; fi
case " $* " in *" --quiet "* | *" -q "*) ;; *) echo "Downloading torch" ;; esac
"""


def set_up(path, python):
    return subprocess.run(
        ["make", "setup", f"VENV={path / 'venv'}", f"PYTHON={python}"],
        cwd=ROOT,
        env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )


def test_a_python_that_is_not_there_is_named_with_the_remedy(tmp_path):
    done = set_up(tmp_path, "python-of-nobody")
    assert done.returncode == 2 and not (tmp_path / "venv").exists()
    first = done.stderr.splitlines()[0]
    assert first.startswith("error: there is no python-of-nobody here.") and "PYTHON=/path/to/python3.11" in first


def test_who_waits_for_the_environment_sees_what_is_fetched(tmp_path):
    """Several GB: on a slow line minutes, in which nothing at all would look like a command that hangs."""
    python = tmp_path / "python"
    python.write_text(STAND_IN_PYTHON)
    python.chmod(0o755)
    done = set_up(tmp_path, python)
    assert done.returncode == 0, done.stderr
    assert "Downloading torch" in done.stdout and (tmp_path / "venv/installed").exists()


NAMES = (
    *("name = 'mine'  # as in \"yours\"", '# name = "yours"\n#name = "yours"\nname="mine"', '\ufeffname = "mine"\r'),
    *('  name\t=\t"mine"', '"name" = "mine"', 'name = """mine"""'),
)
"""One name, as TOML may have it; a byte order mark is what some editors begin with."""


def test_make_and_the_command_line_write_to_the_same_folder(tmp_path):
    """Both take `name` of the config; a set's own name further down must not be mistaken for it."""
    configs = [(name, f"pipelines/configs/{name}.toml") for name in ("toyworld", "carla_to_camvid")]
    for number, line in enumerate(NAMES):
        (tmp_path / f"{number}.toml").write_text(f"{line}\n[[source]]\nname = 'game'\n", encoding="utf-8")
        configs.append(("mine", tmp_path / f"{number}.toml"))
    for name, config in configs:
        plan = subprocess.run(
            ["make", "-n", "translate", f"CONFIG={config}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=os.environ | {"MAKEFLAGS": ""},  # `make test` runs two jobs at a time, and tells of it
        )
        assert f"--run runs/{name} " in plan.stdout and plan.stderr == ""
