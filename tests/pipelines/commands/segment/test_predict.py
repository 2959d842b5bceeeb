"""`sim2real segment predict` as people type it: every kind of input, format and runtime, and what is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from pipelines.commands.segment.predict import segment_predict
from pipelines.data.images import encode_png, image_size, read_image, read_raw, write_image
from pipelines.data.labels.label_formats import LabelFormat
from pipelines.engine.launch import choose_machine
from segment.classes import PALETTE
from tests.pipelines.hangs import HANGS_S
from tests.pipelines.narrow import COMMAND_LINE

ROOT = Path(__file__).parents[4]
FAST = "fast" if choose_machine("cpu").bf16_pays else "exact"
"""What --fast computes in on this machine: bf16 where that pays."""


def photo(seed, height=32, width=64):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(("a/0.png", "a/1.jpg", "b/0.png")):
        write_image(tmp_path / "in" / name, photo(number))
    return tmp_path / "in"


@pytest.fixture
def use(commands, tiny_run, photos, tmp_path):
    """A function: more arguments, the output's name -> what `segment predict` made of the photos."""

    def run(*more, source=photos, output="out", runtime="torch", trap=None):
        checkpoint = tiny_run / "seed-0/oracle"
        arguments = ["--checkpoint", checkpoint, "--input", source, "--output", tmp_path / output, "--threads", 1]
        chosen = ["--runtime", runtime] if runtime else []
        return commands("segment", "predict", *arguments, *chosen, *more, trap=trap)

    return run


def test_a_folder_tree(use, tmp_path):
    finished = use()
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "3 frames in = 3 frames out (3 predicted, 0 already there)\n"
    for name in ("a/0", "a/1", "b/0"):
        assert image_size(tmp_path / f"out/labels/{name}.png") == image_size(tmp_path / f"out/overlays/{name}.jpg")
    assert use().stdout == "3 frames in = 3 frames out (0 predicted, 3 already there)\n"


def test_several_networks_and_mirror_images_predict_as_one(use, tiny_run, tmp_path):
    """The plan tells them apart from what one network predicts, so no folder mixes them."""
    other = ("--checkpoint", tiny_run / "seed-0/source_only")
    assert use(output="alone").code == 0
    for name, options in (("mean", other), ("weighed", (*other, "--weights", "3,1")), ("flipped", ("--flip",))):
        finished = use(*options, output=name)
        assert finished.code == 0 and finished.stdout.startswith("3 frames in = 3 frames out"), finished.stderr
        refused = use(*options, output="alone")
        assert refused.code == 2 and "alone" in refused.stderr
    assert use("--weights", "1,2").code == 2


def test_equal_commands_give_equal_bytes(use, tmp_path):
    assert use(output="one").code == use("--workers", 0, output="two").code == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_parts_make_the_set_that_one_process_makes(use, tmp_path):
    assert use(output="one").code == 0
    first = use("--shard", "1/2")
    assert first.code == 0 and first.stdout.startswith("part 1/2: 2 frames in = 2 frames out (2 predicted, 0 already")
    second = use("--shard", "2/2")
    assert second.stdout == "3 frames in = 3 frames out (1 predicted, 2 already there)\n"
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_a_killed_part_is_carried_on_by_the_same_command(use, tmp_path):
    assert use(output="one").code == 0
    trap = {"call": "pipelines.stages.predicting.predict_frames.PredictionWriter.write", "at": 2}
    assert use("--shard", "1/2", "--workers", 1, trap=trap).code == -9
    assert use("--shard", "2/2").code == 0 and not (tmp_path / "out/manifest.jsonl").exists()
    assert use("--shard", "1/2").stdout.startswith("3 frames in = 3 frames out")
    assert files(tmp_path / "out") == files(tmp_path / "one")


@pytest.mark.slow
def test_torchrun_shares_the_frames_and_reports_failures_once(use, tiny_run, photos, tmp_path):
    """Both processes have a frame that fails. Were the first to say so, torchrun would end the other."""
    for name in ("a/cut.png", "b/cut.png"):
        (photos / name).write_bytes(encode_png(photo(9))[:40])
    assert use(output="one").code == 3
    arguments = ["--checkpoint", tiny_run / "seed-0/oracle", "--input", photos, "--output", tmp_path / "out"]
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"),
        *(sys.executable, "-c", COMMAND_LINE, "segment", "predict"),
        *("--threads", "1", "--runtime", "torch", *map(str, arguments)),
    ]
    finished = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=HANGS_S
    )
    assert finished.returncode != 0 and "exitcode  : 3" in finished.stderr, finished.stderr
    assert "5 frames in, 3 frames out" in finished.stdout and "part " in finished.stdout
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_a_dry_run_writes_nothing(use, tiny_run, photos, tmp_path):
    before = files(tmp_path)
    finished = use("--dry-run")
    assert finished.code == 0, finished.stderr
    out = tmp_path / "out"
    lines = finished.stdout.splitlines()
    assert lines[:2] == ["3 frames: 3 .png; 0 of them listed as finished", "sizes: 3 of 64x32"]
    expected = (
        f"to {out}/labels and {out}/overlays, by torch on cpu (exact), at height 32, from {tiny_run}/seed-0/oracle"
    )
    assert lines[2].startswith(expected)
    assert lines[3].startswith("disk: about 3.0 KB more, ") and lines[4:] == ["dry run: nothing was written"]
    assert f" ({FAST}), at height 16, " in use("--dry-run", "--fast", "--height", 16, "--shard", "2/2").stdout
    (photos / "a/cut.png").write_bytes(encode_png(photo(9))[:40])
    finished = use("--dry-run", "--no-overlays")
    assert finished.code == 3 and "frames that cannot be read: 1; see above" in finished.stderr
    assert files(tmp_path).keys() == before.keys() | {"in/a/cut.png"}


def test_a_dry_run_tells_what_is_done_already(use, photos):
    assert use("--shard", "1/2").code == 0
    assert use("--dry-run").stdout.startswith("3 frames: 3 .png; 2 of them listed as finished\n")
    assert use("--dry-run", "--shard", "2/2").stdout.startswith("1 frames in part 2/2: 1 .png; 0 of them listed")


def test_a_dry_run_refuses_what_the_run_refuses(use, tmp_path):
    assert use().code == 0
    finished = use("--dry-run", "--height", 16)
    assert finished.code == 2 and "height was 32 and is 16" in finished.stderr and finished.stdout == ""
    assert use("--dry-run", "--height", 16, "--restart").stdout.startswith("3 frames: 3 .png; 0 of them listed")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    assert "exists and is no prediction" in use("--dry-run", output="mine").stderr


def test_a_dry_run_needs_a_checkpoint_of_a_segmenter(use, tiny_run):
    finished = use("--dry-run", "--checkpoint", tiny_run / "seed-0/translator")
    assert finished.code == 5 and finished.stderr.count("\n") == 1, finished.stderr


def test_formats_say_the_same(use, tmp_path):
    """Each label id and each colour stands for one train id."""
    for labels in ("train_ids", "label_ids", "colour"):
        assert use("--labels", labels, "--no-overlays", output=labels).code == 0
        assert not (tmp_path / labels / "overlays").exists()
    train_ids, label_ids = (read_raw(tmp_path / name / "labels/a/0.png") for name in ("train_ids", "label_ids"))
    colours = read_image(tmp_path / "colour/labels/a/0.png")
    assert (np.array(PALETTE, np.uint8)[train_ids] == colours).all()
    assert {7: 0, 8: 1, 11: 2}.get(int(label_ids[0, 0]), train_ids[0, 0]) == train_ids[0, 0]
    assert len(np.unique(label_ids)) == len(np.unique(train_ids))


def test_another_height_is_another_prediction(use, tmp_path):
    assert use().code == 0
    finished = use("--height", 16)
    assert finished.code == 2 and "height was 32 and is 16" in finished.stderr
    assert use("--height", 16, "--restart").code == 0
    assert image_size(tmp_path / "out/labels/a/0.png") == (64, 32) and (tmp_path / "out.replaced-1").is_dir()


def test_a_list_file_an_image_and_a_data_set(use, photos, tmp_path):
    (photos / "some.txt").write_text("b/0.png\na/1.jpg\n")
    assert use(source=photos / "some.txt").code == 0
    assert {"labels/a/1.png", "labels/b/0.png"} < files(tmp_path / "out").keys()
    assert use(source=photos / "a/0.png", output="single").code == 0
    assert image_size(tmp_path / "single/labels/0.png") == (64, 32)
    assert use("--reader", "folder", "--frames", "images=a/{name}.png", output="some").stdout.startswith("1 frames in")


def test_fast_and_other_runtimes_see_frames_of_the_same_size(use, tmp_path):
    """How near they are is told by logits, in tests of runtimes: after three steps two classes often score alike."""
    assert use(output="exact").code == 0
    exact = read_raw(tmp_path / "exact/labels/a/0.png")
    finished = use("--fast", output="fast")
    assert finished.code == 0, finished.stderr
    assert json.loads((tmp_path / "fast/prediction.json").read_text())["mode"] == FAST
    assert read_raw(tmp_path / "fast/labels/a/0.png").shape == exact.shape
    finished = use(runtime=None, output="fastest")
    assert finished.code == 0, finished.stderr
    assert json.loads((tmp_path / "fastest/prediction.json").read_text())["runtime"] in {
        "torch", "compile", "onnxruntime", "openvino",
    }  # fmt: skip
    assert read_raw(tmp_path / "fastest/labels/a/0.png").shape == exact.shape


def test_predictions_are_those_of_the_evaluation(use, tiny_run, make_workspace, tmp_path):
    """But for pixels in which two classes score the same up to rounding."""
    frames = make_workspace(run=tiny_run).validation[0]
    for index, frame in enumerate(frames.frames):
        write_image(tmp_path / "val" / f"{frame.name}.png", frames.read_image(index))
    assert use(source=tmp_path / "val").code == 0
    for frame in frames.frames:
        kept = tiny_run / "seed-0/oracle/evaluation/predictions/camera_val" / f"{frame.name}.png"
        assert (read_raw(tmp_path / "out/labels" / f"{frame.name}.png") == read_raw(kept)).mean() > 0.999


def test_a_bad_file_costs_one_frame(use, photos, tmp_path):
    (photos / "a/cut.png").write_bytes(encode_png(photo(9))[:40])
    finished = use()
    assert finished.code == 3 and "frames failed: 1;" in finished.stderr
    assert finished.stdout.startswith("4 frames in, 3 frames out (3 predicted, 0 already there); 1 failed")
    assert json.loads((tmp_path / "out/failures.jsonl").read_text())["source"] == "a/cut.png"


@pytest.mark.parametrize(("signal_name", "code"), [("SIGTERM", 75), ("SIGKILL", -9)])
def test_ended_by_a_signal_the_same_command_carries_on(use, tmp_path, signal_name, code):
    assert use(output="undisturbed").code == 0
    trap = {
        "call": "pipelines.stages.predicting.predict_frames.PredictionWriter.write",
        "at": 2,
        "signal_name": signal_name,
    }
    finished = use("--workers", 1, trap=trap)
    assert finished.code == code and (code < 0 or "the same command carries on" in finished.stderr)
    assert use().code == 0
    assert files(tmp_path / "out") == files(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--labels", "gta"], "'gta' is not one of"),
        (["--runtime", "tensorrt"], "'tensorrt' is not one of"),
        (["--height", 8], "8 is not in the range x>=16"),
        (["--reader", "carla"], "--reader carla with --frames: version is missing"),
        (["--frames", "version"], "--frames version: expected KEY=VALUE"),
        (["--shard", "3/2"], "--shard 3/2: expected I/N with I from 1 to N"),
        (["--shard", "two"], "--shard two: expected I/N"),
    ],
)
def test_options_that_cannot_be_meant(use, tmp_path, arguments, expected):
    finished = use(*arguments)
    assert finished.code == 2 and expected in finished.stderr and finished.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_formats_offered_are_those_that_there_are():
    (labels,) = (option for option in segment_predict.params if option.name == "labels")
    assert tuple(labels.type.choices) == get_args(LabelFormat)


def test_a_video(use, tmp_path):
    pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    from tests.pipelines.data.video.films import film

    source = film(tmp_path / "in.mp4")
    finished = use("--labels", "colour", "--dry-run", source=source, output="out.mp4")
    assert finished.code == 0, finished.stderr
    assert finished.stdout.startswith("10 frames of 48x32 at 25.000 per second\nwritten with ")
    assert f"to {tmp_path}/out.mp4 and {tmp_path}/out.mp4.labels, by torch on cpu (exact)" in finished.stdout
    assert "out.mp4 is not there yet\ndry run: nothing was written\n" in finished.stdout
    assert not list(tmp_path.glob("out*"))
    finished = use("--labels", "train_ids", source=source, output="out.mp4")
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "10 frames in = 10 frames out (10 predicted, 0 already there)\n"
    assert len(list(Path(tmp_path / "out.mp4.labels").glob("*.png"))) == 10
    again = use("--labels", "train_ids", source=source, output="out.mp4")
    assert again.stdout.endswith("(0 predicted, 10 already there)\n")
    assert "out.mp4 exists: left alone if it is what" in use("--dry-run", source=source, output="out.mp4").stdout
    for arguments, output, expected in (
        (["--shard", "1/2"], "b.mp4", "--shard 1/2: a video is predicted by one process"),
        ([], "out", "a video is predicted into a video; give --output a name such as out.mp4"),
        (["--no-overlays"], "b.mp4", "--no-overlays: a video is made of overlays"),
    ):
        finished = use(*arguments, source=source, output=output)
        assert finished.code == 2 and re.search(expected, finished.stderr) and finished.stderr.count("\n") == 1
