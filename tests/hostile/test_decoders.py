"""Images that crash their decoder, keep it busy for ever or take all memory: each costs itself, whatever reads it."""

import json

import numpy as np
import pytest

from pipelines.data.images import encode_png, image_size
from tests.pipelines.conftest import TRAINING
from tests.pipelines.data.decoding.misbehaving_decoder import ENDS
from tests.pipelines.data.image_bytes import PHOTO

MISBEHAVING = "tests.pipelines.data.decoding.misbehaving_decoder"
REASONS = {
    "abort": "the decoder crashed on it (SIGABRT)",
    "segfault": "the decoder crashed on it (SIGSEGV)",
    "spin": "decoding it took far longer than its size has use for (SIGXCPU)",
    "hang": "decoding it came to no end (SIGALRM)",
    "bomb": "it takes more memory than there is, or than an image of its size has use for",
    "exit": "the decoder ended on it (exit code 3)",
    "kill": "what decodes it was killed 2 times, most likely for want of memory (SIGKILL)",
}
assert REASONS.keys() == ENDS.keys()
KINDS = {"": "a whole PNG, JPEG, WebP, BMP or TIFF image", "label-": "a whole PNG label map"}
"""What the name of a hostile image or label map begins with, and what is expected of it."""
COMMANDS = {
    "translation": ("translate", "run", "translator", "{}.png"),
    "prediction": ("segment", "predict", "oracle", "labels/{}.png"),
}
"""What works through a folder -> its words, what of a finished run it is given, and what it makes of a frame."""
CONFIG = """
name = "x"
[[source]]
name = "tested"
reader = "camvid"
root = "tested"
bad_frames = "{bad_frames}"
[[target]]
name = "camera"
reader = "camvid"
root = "good"
[[validation]]
name = "val"
reader = "camvid"
root = "good"
"""


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture(scope="module")
def worked_through(commands, tiny_run, chosen, tmp_path_factory):
    """A function: what works through a folder -> how the command ended, its output, the lines of its failures."""
    known = {}

    def run(what):
        if what not in known:
            first, second, trained, _ = COMMANDS[what]
            place = tmp_path_factory.mktemp(what)
            for name in ["a-good", *sorted(ENDS.keys() & chosen), "z-good"]:
                write(place / f"in/{name}.png", encode_png(PHOTO))
            done = commands(
                first, second, "--checkpoint", tiny_run / "seed-0" / trained, "--input", place / "in",
                "--output", place / "out", "--threads", 1, decoder=MISBEHAVING,
            )  # fmt: skip
            failures = [json.loads(line) for line in (place / "out/failures.jsonl").read_text().splitlines()]
            known[what] = done, place / "out", failures
        return known[what]

    return run


@pytest.mark.parametrize("what", COMMANDS)
@pytest.mark.parametrize("end", ENDS)
def test_it_costs_exactly_itself(worked_through, what, end):
    done, output, failures = worked_through(what)
    (line,) = (line for line in failures if line["source"] == f"{end}.png")
    assert f"{end}.png: {REASONS[end]}. Expected a whole" in line["reason"] and "\n" not in line["reason"]
    assert done.code == 3 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: frames failed: {len(failures)};")
    for name in ("a-good", "z-good"):
        assert image_size(output / COMMANDS[what][3].format(name)) == (PHOTO.shape[1], PHOTO.shape[0])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two data sets: one whose images and label maps are hostile but for one frame, one that is good."""
    folder = tmp_path_factory.mktemp("data")
    label = encode_png(np.full(PHOTO.shape[:2], 3, np.uint8))
    hostile = (f"tested/{{}}/{kind}{end}" for kind in KINDS for end in ENDS)
    for number, name in enumerate(("good/{}/a", "tested/{}/a-good", *hostile)):
        write(folder / f"{name.format('train')}.png", encode_png(PHOTO // (number + 1)))  # files are known by content
        write(folder / f"{name.format('trainannot')}.png", label)
    for bad_frames in ("refuse", "leave_out"):
        (folder / f"{bad_frames}.toml").write_text(CONFIG.format(bad_frames=bad_frames) + TRAINING)
    return folder


@pytest.fixture(scope="module")
def checked(commands, data):
    """What `data check` says of both."""
    return commands("data", "check", data / "refuse.toml", "--data", data, decoder=MISBEHAVING)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ENDS)
def test_it_is_named_by_data_check(checked, kind, end):
    (line,) = (line for line in checked.stdout.splitlines() if f"/{kind}{end}.png: " in line)
    assert REASONS[end] in line and KINDS[kind] in line
    assert checked.code == 3 and "Traceback" not in checked.stderr
    assert "frames that cannot be used: 14;" in checked.stdout


def test_training_names_the_file_before_its_first_step(commands, data, tmp_path):
    done = commands(
        "segment", "train", data / "refuse.toml", "--arm", "source_only", "--data", data, "--run", tmp_path / "run",
        "--threads", 1, "--workers", 1, decoder=MISBEHAVING,
    )  # fmt: skip
    assert done.code == 3 and "Traceback" not in done.stderr
    assert f"/tested/train/abort.png: {REASONS['abort']}" in done.stderr.splitlines()[-1]


def test_training_leaves_them_out_where_that_is_wanted(commands, data, tmp_path):
    done = commands(
        "segment", "train", data / "leave_out.toml", "--arm", "source_only", "--data", data, "--run", tmp_path / "run",
        "--threads", 1, "--workers", 1, decoder=MISBEHAVING,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    for kind in KINDS:
        for end, reason in REASONS.items():
            assert f"/{kind}{end}.png: {reason}" in done.stderr
    assert (tmp_path / "run/seed-0/source_only/final.json").exists()
