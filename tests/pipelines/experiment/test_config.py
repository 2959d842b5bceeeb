"""Experiment files: the bundled ones are valid, every slip is one line, an override says what it seems to say."""

import math
import os
import re
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import pipelines
from pipelines.errors import UserError
from pipelines.experiment.config import read_experiment, read_variants
from pipelines.experiment.experiment import Experiment

BUNDLED = sorted((Path(pipelines.__file__).parent / "configs").glob("*.toml"))
MINIMAL = 'name = "x"\n' + "".join(
    f'[[{part}]]\nname = "a"\nreader = "camvid"\nroot = "camvid"\n' for part in ("source", "target", "validation")
)


@pytest.fixture
def config(tmp_path):
    """A function: text or bytes of a TOML file -> its path."""

    def write(text):
        (tmp_path / "x.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / "x.toml"

    return write


def refusal(path, *overrides):
    """The message that a config is refused with; always a single line that names the file or the override."""
    with pytest.raises(UserError) as error:
        read_experiment(path, overrides)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_configs_are_valid_and_named_after_their_files(path):
    experiment = read_experiment(path)
    assert experiment.name == path.stem
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


def test_bundled_configs_were_found():
    assert "toyworld" in [path.stem for path in BUNDLED]


def test_defaults_fill_a_minimal_file(config):
    assert read_experiment(config(MINIMAL)).segmenter.shares.translated == 1


def test_a_byte_order_mark_is_passed_over(config):
    """Windows' editor writes one."""
    assert read_experiment(config(b"\xef\xbb\xbf" + MINIMAL.encode())).name == "x"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'name = "a', "x.toml: not valid TOML: "),
        (b'name = "a"\nname = "b"\n', "x.toml: not valid TOML: Cannot overwrite a value (at line 2"),
        (b"name: a\n", "x.toml: not valid TOML: "),
        (b'name = "a"\n# caf\xe9\n', "x.toml: line 2 is not UTF-8 text; save the file as UTF-8"),
        (b"a = " + b"[" * 20_000, "x.toml: not valid TOML: "),
        (b"a = " + b"9" * 5_000, "x.toml: not valid TOML: "),
        (b"#" * (2**20 + 1), "x.toml: larger than 1024 KiB, which no experiment is; give a TOML file"),
        (b"", "x.toml: name is missing; source is missing; target is missing; and 1 more"),
    ],
    ids=["cut off", "twice", "yaml", "latin-1", "deep", "long number", "large", "empty"],
)
def test_what_is_no_config_is_told_with_its_place(config, content, expected):
    assert expected in refusal(config(content))


def test_what_is_no_file(tmp_path):
    assert "nope.toml: cannot read: No such file or directory; bundled ones" in refusal(tmp_path / "nope.toml")
    assert "is a folder, expected a file" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe, expected a file" in refusal(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[segmenter]\nbatch = 0", "segmenter.batch: must be greater than 0, got 0"),
        ("[segmenter]\nscale = [2, 1]", "segmenter: scale goes from 2 to 1; the first must be the smaller"),
        ("[segmenter.shares]\ntranslated = 0.5", "segmenter.shares: shares add up to 0.5, they must add up to 1"),
        ("[translator]\ncrop = 31", "translator.crop: must be a multiple of 4, got 31"),
        ("[translator]\ncrop = 16", "translator.crop: must be greater than or equal to 24, got 16"),
        ("[translator]\nlearning_rate = nan", "translator.learning_rate: expected a finite number, got nan"),
        ("[compare]\nseeds = []", "compare.seeds: must have at least 1 item after validation, not 0, got []"),
        ("[compare]\nseeds = 1", "compare.seeds: expected a list in brackets, got 1"),
        (
            '[[source]]\nname = "a"\nreader = "folder"\nroot = "y"',
            "two sets of source have the same name (a, a); give each its own",
        ),
        (
            '[[source]]\nname = "b"\nreader = "carla"\nroot = "y"\nversion = "0.7"',
            "source.1.version: CARLA version '0.7' is unknown; valid versions: 0.8.x",
        ),
        (
            "[segmenter]\nsteps = 300",
            "segmenter: warmup_steps is 1000 and steps 300; set warmup_steps below steps",
        ),
        ("[compare]\nseeds = [4, 4]", "compare: seeds [4, 4] hold one twice"),
        ("labelled_target = 0", "labelled_target is 0; expected a count (14), a fraction above 0 and up to 1.0, or"),
        ('source_sets = ["a", "b"]', "source_sets names b; expected some of a"),
        ("source_sets = []", "source_sets: must have at least 1 item after validation, not 0, got []"),
        ("labelled_target = 14.0", "labelled_target is 14.0; expected a count (14), a fraction"),
        (
            '[[source]]\nname = "a/b"\nreader = "folder"\nroot = "y"',
            "a set of source is called 'a/b', which names no folder for its translated frames; choose a name without",
        ),
        (
            '[[source]]\nname = ".."\nreader = "folder"\nroot = "y"',
            "a set of source is called '..', which names no folder",
        ),
        (
            '[[source]]\nreader = "toyworld"\nrenderer = "game"\nframes = 1\nsize = [15, 64]',
            "source.1.size.0: must be greater than or equal to 16, got 15",
        ),
        (
            '[student]\nteacher_direction = "target_to_source"',
            "student.teacher_direction is target_to_source; a [student] learns from the translated source frames",
        ),
        (
            "[student]\nheight = 32\ncrop = 64\npatch = 48",
            "student: patch is 48 and height 32, so that no target frame has room for a patch; lower patch, or enlarge",
        ),
        (
            '[segmenter]\nadaptation = { method = "dacs", ignored_top = 0.03 }',
            "segmenter.crop is 1024 high of frames 1024 high at scales from 0.5 to 2, and adaptation.ignored_top and",
        ),
        (
            '[segmenter]\nscale = [1, 1]\ncrop = [512, 512]\nadaptation = { method = "mic", ignored_bottom = 0.2 }',
            "set segmenter.scale to [1, 1] and crop to one 1024 high, or ignored_top and ignored_bottom to 0",
        ),
        ("[translator]\nheight = 64\ncrop = 96", "translator: crop is 96 high and frames at most 64 (height 64"),
        ("[student]\nheight = 64\ncrop = 96\npatch = 48", "student: crop is 96 high and frames at most 64 (height"),
        (
            '[[variant]]\nname = "v"\nsettings = { "name.x" = 1 }',
            "variant v: name.x: name is a value, it has no x",
        ),
        (
            '[study]\nnetworks = ["lraspp"]\naugmentation = { blur = 0.3, steps = 9 }',
            "study: augmentation.steps is no setting of the augmentation; expected some of scale, crop",
        ),
        (
            '[segmenter]\nteachers = ["source_only", "oracle"]\nadaptation = { method = "duda" }',
            "segmenter: duda goes on training its teacher, so it takes one; name one in teachers",
        ),
        (
            '[segmenter]\ncrop = [64, 31]\nadaptation = { method = "adaptsegnet" }',
            "segmenter: crop is 64x31, and adaptsegnet needs 32x32 or more",
        ),
        (
            '[segmenter]\ncrop = [64, 32]\nadaptation = { method = "mic" }',
            "segmenter: crop is 64x32, and adaptation.block 64 covers all of it, so that nothing would be hidden",
        ),
        ('[[variant]]\nname = "a b"', "variant.0.name: expected lower-case letters, digits and _, got 'a b'"),
    ],
)
def test_contradictions_are_refused_at_construction(config, text, expected):
    # Before MINIMAL's tables, where a bare key is the experiment's own.
    assert expected in refusal(config(f"{text}\n{MINIMAL}" if text[0] != "[" else f"{MINIMAL}\n{text}"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("translator.steps", "--set translator.steps: expected KEY=VALUE, such as --set translator.steps=200"),
        ("=5", "--set =5: expected KEY=VALUE"),
        ("translator..steps=5", "--set translator..steps=5: expected KEY=VALUE"),
        ("translator.steps.x=5", "unknown key"),
        ("source.7.root=y", "--set source.7.root=y: source is a list of 1, counted from 0: expected a position, got 7"),
        ("source.first.root=y", "source is a list of 1, counted from 0: expected a position, got first"),
        ("source.0=5", "source.0"),
        ("name.x=5", "--set name.x=5: name is a value, it has no x"),
        ("name.x.y=5", "--set name.x.y=5: name is a value, it has no x"),
        ("translatr.steps=5", "with --set translatr.steps=5: unknown key translatr: did you mean translator?"),
        ("translator.steps=many", "translator.steps: expected a whole number, got 'many'"),
        ('translator.steps=5\nname = "y"', "translator.steps: expected a whole number, got '5\\nname"),
        ("translator.steps=" + "[" * 5000, "translator.steps: expected a whole number"),
        ("translator=5", "translator: expected a table of settings, got 5"),
    ],
)
def test_wrong_overrides_are_named(config, override, expected):
    message = refusal(config(MINIMAL), override)
    # A key below a value that the file does not set is made, and then refused as what it is.
    assert expected in message or (override == "translator.steps.x=5" and "expected a whole number" in message)


@settings(max_examples=50, deadline=None)
@given(
    steps=st.integers(1, 10**9),
    rate=st.floats(1e-9, 1e9),
    jitter=st.floats(0, 1),
    flip=st.booleans(),
    seeds=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    root=st.text("abc/ .=[]'\\\"é\t", min_size=1),
)
def test_overrides_arrive_as_they_were_meant(steps, rate, jitter, flip, seeds, root):
    overrides = (
        f"translator.steps={steps}",
        f"translator.learning_rate={rate!r}",
        f"segmenter.colour_jitter={jitter!r}",
        f"segmenter.flip={str(flip).lower()}",
        f"compare.seeds={seeds}",
        f"source.0.root={quoted(root)}",
    )
    experiment = read_experiment(BUNDLED[0], overrides)
    assert experiment.translator.steps == steps
    assert math.isclose(experiment.translator.learning_rate, rate)
    assert math.isclose(experiment.segmenter.colour_jitter, jitter)
    assert experiment.segmenter.flip is flip
    assert experiment.compare.seeds == tuple(seeds)
    assert experiment.source[0].root == root


def quoted(text):
    """Text as a TOML string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t")
    return f'"{escaped}"'


def test_a_variant_s_text_is_kept_to_the_letter(config):
    """Whatever it is made of: far planes of Unicode, quotes, controls, what would be a number."""
    text = 'runs/\\U0001F600 \\"q\\" \\u007F \\n 12'
    path = config(f'{MINIMAL}[[variant]]\nname = "v"\nsettings = {{ "segmenter.initial" = "{text}" }}')
    assert read_variants(path)["v"][1].segmenter.initial == 'runs/\U0001f600 "q" \x7f \n 12'


def test_text_needs_no_quotes_and_lists_are_changed_in_place(config):
    experiment = read_experiment(config(MINIMAL), ("name=other", "target.0.split=val", "translation.height=64"))
    assert (experiment.name, experiment.target[0].split, experiment.translation.height) == ("other", "val", 64)


PARTS = sorted((BUNDLED[0].parent / "parts").glob("*.toml"))
KEYS = [
    (path, match) for path in BUNDLED + PARTS for match in re.finditer(r"^(\w+)(?= = )", path.read_text(), re.MULTILINE)
]
ALL_KEYS = {match[1] for _, match in KEYS}


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(KEYS), where=st.floats(0, 1), how=st.sampled_from(["drop", "double", "swap", "letter"]))
def test_any_misspelt_key_is_named_with_a_remedy(place, where, how):
    path, match = place
    key = match[1]
    at = min(int(where * len(key)), len(key) - 1)
    edits = {
        "drop": key[:at] + key[at + 1 :],
        "double": key[: at + 1] + key[at:],
        "swap": key[:at] + key[at : at + 2][::-1] + key[at + 2 :],
        "letter": key[:at] + "q" + key[at + 1 :],
    }
    misspelt = edits[how]
    assume(misspelt and misspelt not in ALL_KEYS and misspelt != key)
    text = path.read_text()
    text = text[: match.start()] + misspelt + text[match.end() :]
    tomllib.loads(text)
    with tempfile.TemporaryDirectory() as folder:
        for included in (*BUNDLED, PARTS[0].parent):
            (Path(folder) / included.name).symlink_to(included)
        (Path(folder) / "x.toml").write_text(MINIMAL + text if path in PARTS else text)
        message = refusal(Path(folder) / "x.toml")
    assert re.search(rf"unknown key ([\w.]+\.)?{misspelt}: (did you mean \w+\?|expected one of )", message), message
    assert "\n" not in message


@pytest.mark.parametrize("override", ['include=["other.toml"]', "variant.0.like=longer"])
def test_what_a_file_is_built_on_is_no_setting_to_be_changed(config, override):
    """It would be found too late, and do nothing."""
    message = refusal(config(f'{MINIMAL}[[variant]]\nname = "v"\n'), override)
    assert override.partition("=")[0] in message
