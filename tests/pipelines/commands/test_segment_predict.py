"""`sim2real segment predict` as people type it: every kind of input, format and runtime, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipelines.commands.segment_predict import segment_predict
from pipelines.data.images import encode_png, image_size, read_image, read_raw, write_image
from pipelines.data.label_formats import LABEL_FORMATS
from segment.classes import PALETTE


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


def test_equal_commands_give_equal_bytes(use, tmp_path):
    assert use(output="one").code == use("--workers", 0, output="two").code == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


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


def test_fast_and_other_runtimes_agree_nearly_everywhere(use, tmp_path):
    assert use(output="exact").code == 0
    exact = read_raw(tmp_path / "exact/labels/a/0.png")
    finished = use("--fast", output="fast")
    assert finished.code == 0, finished.stderr
    assert json.loads((tmp_path / "fast/prediction.json").read_text())["mode"] == "fast"
    assert (read_raw(tmp_path / "fast/labels/a/0.png") == exact).mean() > 0.9
    finished = use(runtime=None, output="fastest")
    assert finished.code == 0, finished.stderr
    assert json.loads((tmp_path / "fastest/prediction.json").read_text())["runtime"] in {
        "torch", "compile", "onnxruntime", "openvino",
    }  # fmt: skip
    assert (read_raw(tmp_path / "fastest/labels/a/0.png") == exact).mean() > 0.99


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
    trap = {"call": "pipelines.stages.predict_frames.PredictionWriter.write", "at": 2, "signal_name": signal_name}
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
    ],
)
def test_options_that_cannot_be_meant(use, tmp_path, arguments, expected):
    finished = use(*arguments)
    assert finished.code == 2 and expected in finished.stderr and finished.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_formats_offered_are_those_that_there_are():
    (labels,) = (option for option in segment_predict.params if option.name == "labels")
    assert tuple(labels.type.choices) == LABEL_FORMATS


def test_a_video(use, tmp_path):
    pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    from tests.pipelines.stages.test_translate_video import film

    source = film(tmp_path / "in.mp4")
    finished = use("--labels", "train_ids", source=source, output="out.mp4")
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "10 frames in = 10 frames out (10 predicted, 0 already there)\n"
    assert len(list(Path(tmp_path / "out.mp4.labels").glob("*.png"))) == 10
    again = use("--labels", "train_ids", source=source, output="out.mp4")
    assert again.stdout.endswith("(0 predicted, 10 already there)\n")
    for arguments, output, expected in (
        ([], "out", "a video is predicted into a video; give --output a name such as out.mp4"),
        (["--no-overlays"], "b.mp4", "--no-overlays: a video is made of overlays"),
    ):
        finished = use(*arguments, source=source, output=output)
        assert finished.code == 2 and re.search(expected, finished.stderr) and finished.stderr.count("\n") == 1
