"""Names that shells, terminals, archives and other systems stumble over; and outputs that would touch other things.

Each input has an output of its own at the same place, with the content that belongs to it; nothing is written
elsewhere, no input is changed; what cannot be kept apart is refused before anything is written.
"""

import hashlib
import json
import os
import sys

import numpy as np
import pytest

from pipelines import cli
from pipelines.data.disk.manifest import read_manifest
from pipelines.data.images import encode_png, image_size

SAMPLED_EVERY = 6
NAMES = (
    *(
        "a b.png",
        " leading.png",
        "trailing .png",
        "-rf.png",
        "--output.png",
        "%d.png",
        "%s%n.png",
        "$(touch canary).png",
    ),
    *(
        "`touch canary`.png",
        "; touch canary;.png",
        "a'b.png",
        'a"b.png',
        "a\\b.png",
        "a\nb.png",
        "a\tb.png",
        "a\rb.png",
    ),
    *("a\x1b[2Jb.png", "a\x07b.png", "a\u202egnp.png", "\u00e9.png", "e\u0301x.png", "東京/道.png", "🚗.png", "a*.png"),
    *("a?.png", "[a].png", "{a}.png", "{name}.png", "~.png", "#a.png", "a&b.png", "a|b.png", "a<b>.png", "CON.png"),
    *(
        "nul.png",
        "a..png",
        "v1.2/x.y.png",
        "deep/er/and/deep/er/a.png",
        "x.PNG",
        "y.Png",
        "a:b.png",
        "@a.png",
    ),
    *("n" * 251 + ".png", "ä" * 125 + ".png", "/".join(["d" * 50] * 20) + "/a.png", "manifest.jsonl.png"),
    *("deep/failures.jsonl/a.jpg.png", "a.png.part.png"),
)
SKIPPED = (".hidden.png", ".cache/a.png", ".png.png", "...png")
"""Hidden ones are left alone, as by every shell."""
BYTES = (b"\xff\xfe.png", b"latin-\xe9.png")
"""No UTF-8: names of another time, and of archives unpacked by another system."""


def painted(name):
    """A picture of its own for each name."""
    seed = int.from_bytes(hashlib.sha256(name if isinstance(name, bytes) else name.encode()).digest()[:4], "big")
    size = 20 + seed % 13, 20 + seed // 13 % 13
    return encode_png(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def written(folder, name):
    path = os.path.join(os.fsencode(folder), name if isinstance(name, bytes) else os.fsencode(name))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(painted(name))
    return os.fsdecode(path)


def tree(folder):
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, folder)] = stream.read()
    return found


@pytest.fixture(scope="module")
def translated(commands, tiny_run, tmp_path_factory, chosen):
    """What `translate run` made of a folder with all these names."""
    place = tmp_path_factory.mktemp("paths")
    (place / "in").mkdir()
    for name in [*(name for name in NAMES if name in chosen), *BYTES, *SKIPPED]:
        written(place / "in", name)
    before = tree(place / "in")
    done = commands(
        "translate", "run", "--checkpoint", tiny_run / "seed-0/translator", "--input", place / "in",
        "--output", place / "out", "--threads", 1,
    )  # fmt: skip
    return done, place, before


def assert_has_its_own(place, name):
    name = os.fsdecode(name)
    assert image_size(place / "in" / name) == image_size(place / "out" / name)
    (entry,) = (entry for entry in read_manifest(place / "out/manifest.jsonl") if entry.image == name)
    assert hashlib.sha256((place / "in" / name).read_bytes()).hexdigest() == entry.source_sha256
    assert hashlib.sha256((place / "out" / name).read_bytes()).hexdigest() == entry.image_sha256


@pytest.mark.parametrize("name", NAMES)
def test_it_has_an_output_of_its_own(translated, name):
    done, place, _ = translated
    assert done.code in (0, 3) and "Traceback" not in done.stderr
    assert_has_its_own(place, name)


@pytest.mark.parametrize("name", BYTES)
def test_a_name_that_is_no_text_is_translated_or_listed(translated, name):
    done, place, _ = translated
    failures = place / "out/failures.jsonl"
    listed = [json.loads(line)["source"] for line in failures.read_text().splitlines()] if failures.exists() else []
    if os.fsdecode(name) not in listed:
        assert_has_its_own(place, name)
    assert (done.code == 3) == bool(listed)


@pytest.mark.parametrize("name", SKIPPED)
def test_what_is_hidden_is_left_alone(translated, name):
    _, place, _ = translated
    assert not (place / "out" / name).exists()


def test_nothing_else_is_written_and_no_input_is_changed(translated):
    _, place, before = translated
    assert tree(place / "in") == before
    own = {"manifest.jsonl", "translation.json", "failures.jsonl", ".journal.jsonl"}
    assert {name for name in tree(place / "out") if name not in own} <= before.keys()
    assert {path.name for path in place.iterdir()} == {"in", "out"}
    assert not list(place.parent.rglob("canary"))


# --- what is refused --------------------------------------------------------------------------------------------------

TOGETHER = {
    "case": ("frame.png", "Frame.png"),
    "case of a folder": ("S/a.png", "s/a.png"),
    "composed and decomposed": ("\u00e9.png", "e\u0301.png"),
    "sharp s": ("stra\u00dfe.png", "strasse.png"),
    "suffixes": ("a.jpg", "a.png"),
    "a folder that is a file": ("a.jpg", "a.png/0.jpg"),
}


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """A function: input and output -> the one line that refuses them; nothing is written."""

    def run(source, output, *more):
        before = sorted(path for path in tmp_path.rglob("*"))
        words = [
            "sim2real",
            "translate",
            "run",
            "--checkpoint",
            "nowhere",
            "--input",
            source,
            "--output",
            output,
            *more,
        ]
        monkeypatch.setattr(sys, "argv", [str(word) for word in words])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        assert stopped.value.code == 2, said.err
        assert said.err.startswith("error: ") and said.err.count("\n") == 1 and said.out == ""
        assert sorted(path for path in tmp_path.rglob("*")) == before
        return said.err

    return run


@pytest.mark.parametrize("pair", TOGETHER)
def test_two_files_that_some_disk_takes_for_one(refused, tmp_path, pair):
    for name in TOGETHER[pair]:
        written(tmp_path / "in", name)
    line = refused(tmp_path / "in", tmp_path / "out", "--format", "png", "--dry-run")
    assert all(name in line for name in TOGETHER[pair])


@pytest.mark.parametrize("name", ["manifest.jsonl", "failures.jsonl", "translation.json"])
def test_a_folder_where_the_record_goes(refused, tmp_path, name):
    written(tmp_path / "in", f"{name}/a.png")
    assert f"{name} is where the output's own record goes" in refused(tmp_path / "in", tmp_path / "out", "--dry-run")


@pytest.mark.parametrize("output", ["in", "in/out", ".", "in/../in", "link", "link/deep", "in/./out"])
def test_an_output_that_would_touch_the_input(refused, tmp_path, output):
    written(tmp_path / "in", "a.png")
    (tmp_path / "link").symlink_to("in")
    line = refused(tmp_path / "in", tmp_path / output, "--dry-run")
    assert "same folder" in line or "within each other" in line


@pytest.mark.parametrize("listed", ["../outside.png", "/etc/hostname", "a/../../outside.png", "..", "."])
def test_a_list_that_leads_out_of_its_folder_writes_inside_the_output(commands, tiny_run, tmp_path, listed):
    """Whatever a list names, what is written lies in the output."""
    written(tmp_path / "lists", "a.png")
    written(tmp_path, "outside.png")
    (tmp_path / "lists/list.txt").write_text(f"{listed}\na.png\n")
    before = tree(tmp_path)
    done = commands(
        "translate", "run", "--checkpoint", tiny_run / "seed-0/translator", "--input", tmp_path / "lists/list.txt",
        "--output", tmp_path / "out", "--threads", 1,
    )  # fmt: skip
    assert done.code in (0, 2, 3) and "Traceback" not in done.stderr
    after = tree(tmp_path)
    assert {name: data for name, data in after.items() if not name.startswith("out/")} == before
