"""Images that are none, are cut off, lie, or are traps: one folder, one command, and each costs exactly itself."""

import json
import os

import numpy as np
import pytest

from pipelines.data.images import encode_png, image_size, read_image
from tests.hostile.image_files import SPECIAL, hostile_files, make_special, odd_files
from tests.pipelines.data.image_bytes import PHOTO

HOSTILE, ODD = hostile_files(), odd_files()
GOOD = ("good-first.png", "zz-good-last.png")


@pytest.fixture(scope="module")
def translated(commands, tiny_run, chosen, tmp_path_factory):
    """What `translate run` made of the folder: what it said, input and output, and the lines of failures.jsonl.

    A file's name has a folder of its own, for a frame's name has no suffix.
    """
    place = tmp_path_factory.mktemp("images")
    source, output = place / "in", place / "out"
    for name in sorted({*HOSTILE, *ODD, *SPECIAL} & chosen) + list(GOOD):
        folder = source / name.rpartition(".")[2]
        folder.mkdir(parents=True, exist_ok=True)
        if name in SPECIAL:
            make_special(folder, name)
        else:
            (folder / name).write_bytes((HOSTILE | ODD).get(name) or (b"" if name in HOSTILE else encode_png(PHOTO)))
    translator = tiny_run / "seed-0/translator"
    done = commands(
        "translate", "run", "--checkpoint", translator, "--input", source, "--output", output, "--threads", 1,
        limits={"CPU": 300, "AS": 8 * 2**30},
    )  # fmt: skip
    failures = [json.loads(line) for line in (output / "failures.jsonl").read_text().splitlines()]
    return done, source, output, failures


@pytest.mark.parametrize("name", [*HOSTILE, *SPECIAL])
def test_it_costs_exactly_itself(translated, name):
    done, _, output, failures = translated
    own = f"{name.rpartition('.')[2]}/{name}"
    (line,) = (line for line in failures if line["source"] == own)
    assert own in line["reason"] and "\n" not in line["reason"] and "Expected" in line["reason"]
    assert not (output / own).exists()
    assert done.code == 3 and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ODD)
def test_what_is_merely_odd_is_translated(translated, name):
    _, source, output, failures = translated
    own = f"{name.rpartition('.')[2]}/{name}"
    assert own not in {line["source"] for line in failures}
    assert image_size(output / own) == image_size(source / own)
    assert read_image(output / own).dtype == np.uint8


@pytest.mark.parametrize("name", GOOD)
def test_the_frames_before_and_after_are_whole(translated, name):
    _, _, output, _ = translated
    assert image_size(output / "png" / name) == (56, 40)


def test_one_line_is_said_and_nothing_is_half_written(translated):
    done, source, output, failures = translated
    assert done.stderr.splitlines()[-1].startswith(f"error: frames failed: {len(failures)};")
    left = [name for _, _, names in os.walk(output) for name in names if name.endswith(".part")]
    assert left == []
    count = sum(1 for _, _, names in os.walk(source) for _ in names)
    assert done.stdout.startswith(f"{count} frames in, {count - len(failures)} frames out")
