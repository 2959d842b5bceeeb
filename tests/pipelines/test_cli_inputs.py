"""What people hand to the commands (data, checkpoints, folders, disks) may be wrong: it is named on one line, in time.

In time means before the first step of training and before the first byte of output.
"""

import errno
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines import cli
from pipelines.data.images import write_image

EXPERIMENT = """
name = "photos"
[[source]]
name = "game"
reader = "carla"
root = "game"
version = "0.9.14"
[[target]]
name = "real"
reader = "camvid"
root = "real"
[[validation]]
name = "real_val"
reader = "camvid"
root = "real"
split = "val"
[translator]
generator_channels = 4
discriminator_channels = 4
height = 32
crop = 32
steps = 3
[segmenter]
height = 32
crop = [32, 32]
batch = 2
steps = 3
warmup_steps = 1
"""


def assert_refused(finished, code, *expected, listed=0):
    """One line on stderr that begins "error: " and holds what is expected, after `listed` lines that name inputs.

    The line before all, of what computes and by which instructions, is there where work had begun.
    """
    lines = [
        line for line in finished.stderr.splitlines() if not re.match(r"(train|predict|translate)\b.* threads?, ", line)
    ]
    assert finished.code == code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert len(lines) == 1 + listed, finished.stderr
    assert lines[-1].startswith("error: ")
    for text in expected:
        assert text in lines[-1], lines[-1]


@pytest.fixture
def photos(tmp_path):
    """A config, and a data folder of two labelled frames for each of its sets."""
    random = np.random.default_rng(0)
    for number in range(2):
        tags = np.zeros((32, 32, 3), np.uint8)
        tags[..., 0] = 1  # road
        write_image(tmp_path / f"data/game/rgb/{number}.png", random.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        write_image(tmp_path / f"data/game/semantic/{number}.png", tags)
        for split in ("train", "val"):
            picture = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            write_image(tmp_path / f"data/real/{split}/{number}.png", picture)
            write_image(tmp_path / f"data/real/{split}annot/{number}.png", np.full((32, 32), 3, np.uint8))
    (tmp_path / "photos.toml").write_text(EXPERIMENT)
    return tmp_path


@pytest.fixture
def on_photos(commands, photos):
    """A function: a command of an experiment in words, more arguments -> its result on `photos`."""

    def run(words, *more):
        data, place = photos / "data", photos / "run"
        return commands(*words.split(), photos / "photos.toml", "--data", data, "--run", place, *more)

    return run


def truncate(path):
    path.write_bytes(path.read_bytes()[:60])


# --- data -------------------------------------------------------------------------------------------------------------


def test_good_photos_are_fine(on_photos):
    """What the tests below break is whole to begin with."""
    finished = on_photos("data check")
    assert finished.code == 0 and finished.stderr == "" and finished.stdout.count(": ok") == 3


def test_missing_data_folder(commands, photos):
    finished = commands("data", "check", photos / "photos.toml", "--data", photos / "nodata")
    assert_refused(
        finished, 2, "nodata/game: the folder of data set 'game' does not exist. Change its setting `root`, or --data"
    )


def test_empty_folder(on_photos, photos):
    shutil.rmtree(photos / "data/real/train")
    assert_refused(on_photos("translate train"), 4, "data/real: no image of data set 'real' matches 'train/{name}.*'")


def test_data_check_lists_what_is_wrong(on_photos, photos):
    truncate(photos / "data/real/val/0.png")
    finished = on_photos("data check")
    assert_refused(finished, 3, "sets with problems: 1; they are listed above")
    assert "val/0.png: the PNG is cut off" in finished.stdout


def test_no_labels_to_learn_from(on_photos, photos):
    shutil.rmtree(photos / "data/game/semantic")
    shutil.rmtree(photos / "data/real/trainannot")
    assert_refused(on_photos("segment train", "--arm", "source_only"), 4, "no source frame has a label map")
    assert_refused(on_photos("segment train", "--arm", "oracle"), 4, "no target frame has a label map")


@pytest.mark.parametrize("workers", [0, 1])
def test_unknown_class_is_named_before_the_first_step(on_photos, photos, workers):
    label = np.zeros((32, 32, 3), np.uint8)
    label[5, 5, 0] = 77
    write_image(photos / "data/game/semantic/1.png", label)
    finished = on_photos("segment train", "--arm", "source_only", "--workers", workers)
    assert_refused(finished, 3, "data/game/semantic/1.png: holds unknown ids 77")
    assert not (photos / "run/seed-0/source_only/checkpoints").exists()


def test_label_map_of_another_size_is_named_before_the_first_step(on_photos, photos):
    write_image(photos / "data/real/trainannot/1.png", np.full((16, 32), 3, np.uint8))
    finished = on_photos("segment train", "--arm", "oracle")
    assert_refused(
        finished, 3, "trainannot/1.png: the label map is 32x16, its image", "is 32x32; both must be of one size"
    )
    assert not (photos / "run/seed-0/oracle/checkpoints").exists()


def test_truncated_image_is_named_before_the_first_step(on_photos, photos):
    truncate(photos / "data/real/train/1.png")
    assert_refused(on_photos("translate train"), 3, "data/real/train/1.png: the PNG is cut off. Expected a whole PNG")
    assert not (photos / "run/seed-0/translator/checkpoints").exists()


def test_device_that_is_not_there(on_photos):
    assert_refused(on_photos("translate train", "--device", "gpu"), 2, "--device gpu: expected auto, cpu, cuda, cuda:1")
    finished = on_photos("translate train", "--device", "cuda:97")
    assert_refused(finished, 2, "--device cuda:97 cannot be used here", "try --device cpu")


def test_stages_in_the_wrong_order(on_photos):
    assert_refused(on_photos("translate experiment"), 5, "is not there yet; run `sim2real translate train` first")
    first = "no translated frames yet; run `sim2real translate experiment --seed 0` first"
    assert_refused(on_photos("segment train"), 2, first)


# --- disks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "text"), [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only file system")])
def test_full_and_read_only_disks(monkeypatch, capsys, photos, number, text):
    def refuses(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pipelines.data.disk.files.os.fsync", refuses)
    arguments = ["config", "inputs", photos / "photos.toml", "--data", photos / "data", "--run", photos / "run"]
    monkeypatch.setattr(sys, "argv", ["sim2real", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    stderr = capsys.readouterr().err
    assert stopped.value.code == 6
    assert stderr.startswith("error: ") and text in stderr and "Check the disk and permissions" in stderr
    assert [path.name for path in (photos / "run").rglob("*") if path.is_file()] == [".frames.lock"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_run_folder_without_permission(on_photos, photos):
    (photos / "run").mkdir(mode=0o500)
    assert_refused(on_photos("translate train"), 6, "cannot write: Permission denied")


# --- checkpoints and finished runs ------------------------------------------------------------------------------------


@pytest.fixture
def checkpoints(tiny_run):
    """Run folders by what is in them."""
    return {"translator": tiny_run / "seed-0/translator", "segmenter": tiny_run / "seed-0/source_only"}


@pytest.fixture
def use(commands, photos):
    """A function: what to do ("translate run"), with which checkpoint, on which folder, more -> the result."""

    def run(words, checkpoint, source=None, *more, output="out"):
        source = source or photos / "data/real/val"
        return commands(
            *words.split(), "--checkpoint", checkpoint, "--input", source, "--output", photos / output, *more
        )

    return run


USERS = [("translate run", "translator", "segmenter"), ("segment predict", "segmenter", "translator")]


@pytest.mark.parametrize(("words", "kind", "other"), USERS)
def test_checkpoints_that_are_none(use, checkpoints, photos, words, kind, other):
    assert_refused(
        use(words, photos / "nope"), 5, "nope does not exist; give a run folder or one of its checkpoints/step-N"
    )
    assert_refused(
        use(words, photos / "data"), 5, "is not a checkpoint of sim2real: expected a folder with manifest.json"
    )
    assert_refused(use(words, photos / "photos.toml"), 5, "is not a checkpoint of sim2real")
    assert_refused(use(words, checkpoints[other]), 5, f"is a {other}, expected a {kind}")
    assert not (photos / "out").exists()


@pytest.mark.parametrize(("words", "kind", "other"), USERS)
def test_damaged_checkpoints(use, checkpoints, tmp_path, words, kind, other):
    newest = max((checkpoints[kind] / "checkpoints").glob("step-*"))
    copy = Path(shutil.copytree(newest, tmp_path / newest.name))
    with open(copy / "method.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))
    assert_refused(use(words, copy), 5, "method.safetensors has changed since it was written; use an older one")
    (copy / "method.safetensors").unlink()
    assert_refused(use(words, copy), 5, "method.safetensors is missing; use an older checkpoint or copy it again")
    (copy / "manifest.json").write_text("{")
    assert_refused(use(words, copy), 5, "manifest.json is damaged")


@pytest.mark.parametrize(("words", "kind", "other"), USERS)
def test_inputs_and_outputs_that_do_not_go_together(use, checkpoints, photos, words, kind, other):
    source = photos / "data/real/val"
    before = sorted(photos.rglob("*"))
    assert_refused(
        use(words, checkpoints[kind], source, output="data/real/val"), 2, "are the same folder; choose an --output"
    )
    assert_refused(use(words, checkpoints[kind], source, output="data/real/val/out"), 2, "lie within each other")
    assert_refused(use(words, checkpoints[kind], photos / "nope"), 2, "nope is not a folder")
    (photos / "empty").mkdir()
    assert_refused(use(words, checkpoints[kind], photos / "empty"), 4, "empty", "no image")
    assert sorted(photos.rglob("*")) == sorted([*before, photos / "empty"])


def test_a_truncated_image_costs_one_prediction(use, checkpoints, photos):
    truncate(photos / "data/real/val/0.png")
    finished = use("segment predict", checkpoints["segmenter"])
    assert_refused(finished, 3, "frames failed: 1;", "failures.jsonl says which and why")
    assert "val/0.png: the PNG is cut off" in (photos / "out/failures.jsonl").read_text()
    assert finished.stdout.startswith("2 frames in, 1 frames out (1 predicted, 0 already there); 1 failed")
    assert [path.name for path in (photos / "out/labels").iterdir()] == ["1.png"]


def test_a_truncated_image_costs_one_translation(use, checkpoints, photos):
    truncate(photos / "data/real/val/0.png")
    finished = use("translate run", checkpoints["translator"])
    assert_refused(finished, 3, "frames failed: 1;", "failures.jsonl says which and why")
    assert finished.stdout.startswith("2 frames in, 1 frames out (1 translated, 0 already there); 1 failed")
    assert sorted(path.name for path in (photos / "out").glob("[!.]*.png")) == ["1.png"]
    assert_refused(
        use("translate run", checkpoints["translator"], None, "--height", "16"), 2, "height was left out and is 16"
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--reader", "carla"], "--reader carla with --frames: version is missing"),
        (
            ["--reader", "carla", "--frames", "version=0.7"],
            "version: CARLA version '0.7' is unknown; valid versions: 0.8.x",
        ),
        (["--reader", "carla", "--frames", "versoin=0.9.14"], "unknown key versoin: did you mean version?"),
        (["--reader", "carla", "--frames", "version"], "--frames version: expected KEY=VALUE"),
        (["--frames", "version=0.9.14"], "--reader folder with --frames: unknown key version"),
        (["--frames", "images=x.png"], "images: the pattern 'x.png' must hold {name} once"),
        (["--frames", "root=/"], "--frames root=/: give it as --input"),
        (["--frames", "reader=carla"], "--frames reader=carla: give it as --reader"),
        (["--reader", "carlo"], "'--reader': 'carlo' is not one of"),
    ],
)
def test_settings_of_the_reader(use, checkpoints, arguments, expected):
    assert_refused(use("translate run", checkpoints["translator"], None, *arguments), 2, expected)


def test_a_run_made_with_other_settings_is_refused(commands, tiny_config, tiny_run):
    arguments = ["--run", tiny_run, "--set", "translator.steps=9"]
    finished = commands("translate", "train", tiny_config, *arguments)
    assert_refused(finished, 2, "holds a run with other settings or data", "settings.steps was 4, now 9", "--restart")
