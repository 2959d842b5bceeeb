"""`sim2real translate run` as people type it: every kind of input, parts, tiles, and what is refused."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.batch_inference.translation_options import TranslationOptions
from pipelines.commands.frame_by_frame import WorkThrough
from pipelines.commands.translate.run import refuse_no_runtime
from pipelines.data.images import encode_png, image_size, read_image, write_image
from pipelines.errors import UserError


def photo(seed, height=24, width=40):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def photos(tmp_path):
    """Four images in two folders, with instance maps."""
    for number, name in enumerate(("a/0.png", "a/1.jpg", "b/0.png", "b/1.png")):
        write_image(tmp_path / "in" / name, photo(number))
        ids = tmp_path / "in/instance" / Path(name).with_suffix(".ids")
        ids.parent.mkdir(parents=True, exist_ok=True)
        ids.write_bytes(encode_png(np.full((24, 40), number, np.uint16)))
    return tmp_path / "in"


@pytest.fixture
def use(commands, tiny_run, photos, tmp_path):
    """A function: more arguments, the output's name -> what `translate run` made of the photos."""

    def run(*more, source=photos, output="out"):
        checkpoint = tiny_run / "seed-0/translator"
        arguments = ["--checkpoint", checkpoint, "--input", source, "--output", tmp_path / output, "--threads", 1]
        return commands("translate", "run", *arguments, *more)

    return run


def test_a_folder_tree_with_what_goes_along(use, photos, tmp_path):
    finished = use("--carry", "instance/{name}.ids")
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "4 frames in = 4 frames out (4 translated, 0 already there)\n"
    for name in ("a/0.png", "a/1.jpg", "b/0.png", "b/1.png"):
        assert image_size(tmp_path / "out" / name) == (40, 24)
        ids = f"instance/{name.split('.')[0]}.ids"
        assert (tmp_path / "out" / ids).read_bytes() == (photos / ids).read_bytes()


def test_parts_make_the_set_that_one_process_makes(use, tmp_path):
    assert use("--batch", 2, output="one").code == 0
    first = use("--batch", 2, "--shard", "1/2")
    assert first.code == 0 and first.stdout.startswith("part 1/2: 2 frames in = 2 frames out (2 translated, 0")
    second = use("--batch", 2, "--shard", "2/2")
    assert second.stdout == "4 frames in = 4 frames out (2 translated, 2 already there)\n"
    assert files(tmp_path / "out") == files(tmp_path / "one")


def test_a_list_file_and_a_single_image(use, photos, tmp_path):
    (photos / "some.txt").write_text("b/1.png\na/1.jpg\n")
    finished = use("--format", "webp", source=photos / "some.txt")
    assert finished.code == 0, finished.stderr
    assert {"a/1.webp", "b/1.webp"} < files(tmp_path / "out").keys()
    assert use(source=photos / "a/0.png", output="single").code == 0
    assert image_size(tmp_path / "single/0.png") == (40, 24)


def test_a_dry_run_writes_nothing(use, photos, tmp_path):
    before = files(tmp_path)
    finished = use("--dry-run")
    assert finished.code == 0, finished.stderr
    assert finished.stdout.startswith("4 frames: 1 .jpg, 3 .png; 0 of them listed as finished\nsizes: 4 of 40x24\n")
    assert finished.stdout.endswith("dry run: nothing was written\n")
    (photos / "a/cut.png").write_bytes(encode_png(photo(9))[:40])
    finished = use("--dry-run")
    assert finished.code == 3 and "frames that cannot be read: 1; see above" in finished.stderr
    assert files(tmp_path).keys() == before.keys() | {"in/a/cut.png"}


def test_a_dry_run_needs_a_checkpoint_of_a_translator(use, tiny_run):
    """As the run itself: what a dry run finds well may be started and left alone for the night."""
    for checkpoint in (tiny_run / "seed-0/oracle", tiny_run / "nowhere"):
        finished = use("--dry-run", "--checkpoint", checkpoint)
        assert finished.code == 5 and finished.stderr.count("\n") == 1, finished.stderr
        assert finished.stdout == ""


def test_a_dry_run_refuses_another_translation_as_the_run_would(use, tmp_path):
    assert use("--precision", "fp32").code == 0
    for options, message in (
        (["--direction", "target_to_source"], "direction was source_to_target and is target_to_source"),
        (["--size", 32, 16, "--quality", 90], "quality was left out and is 90, size was left out and is 32 16"),
        (["--style-seed", 3], "style seed was left out and is 3"),
    ):
        finished = use("--dry-run", *options)
        assert finished.code == 2 and message in finished.stderr and finished.stdout == ""
        assert use("--dry-run", "--restart", *options).stdout.startswith("4 frames: 1 .jpg, 3 .png; 0 of them")
    for options in ([], ["--fast"], ["--precision", "bf16"]):  # what the machine makes of these is not asked
        assert use("--dry-run", *options).stdout.startswith("4 frames: 1 .jpg, 3 .png; 4 of them listed as finished")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    assert "exists and is no translation" in use("--dry-run", output="mine").stderr


def test_a_dry_run_refuses_a_runtime_that_is_not_installed(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "openvino" else real(name))
    dry = WorkThrough("cpu", "fp32", None, False, workers=0, shard=None, restart=False, dry_run=True)
    refuse_no_runtime(TranslationOptions(), dry)
    with pytest.raises(UserError, match=r"openvino is not installed; pip install 'sim2real\[openvino\]'"):
        refuse_no_runtime(TranslationOptions(runtime="openvino"), dry)


def test_tiles_and_sizes(use, tmp_path):
    """Frames of 40x24, in six tiles: normalised by the moments of the whole frame, they differ by rounding alone."""
    assert use().code == 0
    finished = use("--tile", 16, output="tiled")
    assert finished.code == 0, finished.stderr
    assert json.loads((tmp_path / "tiled/translation.json").read_text())["tile"] == 16
    whole, tiled = (read_image(tmp_path / name / "a/0.png").astype(int) for name in ("out", "tiled"))
    assert np.abs(whole - tiled).max() <= 1
    assert use("--size", 32, 16, output="sized").code == 0
    assert image_size(tmp_path / "sized/a/0.png") == (40, 24)


def test_the_fast_mode_is_close_and_another_translation(use, tmp_path):
    """Asked for bf16 by name, so that it is that on every machine."""
    assert use("--precision", "fp32").code == 0
    assert use("--fast", "--precision", "bf16", output="fast").code == 0
    exact, fast = (read_image(tmp_path / name / "a/0.png").astype(int) for name in ("out", "fast"))
    assert np.abs(exact - fast).mean() < 1.5
    finished = use("--fast", "--precision", "bf16")
    assert finished.code == 2 and "fast was left out and is on" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--precision", "bf16", "--runtime", "compile"], "--runtime compile: choose --fast or --precision fp32"),
        (["--tile", 256, "--runtime", "openvino"], "--tile: OpenVINO takes frames whole"),
        (["--height", 16, "--size", 32, 16], "--height and --size: give one of them"),
        (["--style-seed", 3], "--style-seed 3: this translator has learnt one look; leave it out"),
        (["--format", "png", "--quality", 90], "--quality 90: of JPEG, and --format is png; leave it out"),
        (["--shard", "3/2"], "--shard 3/2: expected I/N with I from 1 to N"),
        (["--shard", "two"], "--shard two: expected I/N"),
        (["--carry", "x.png"], "--carry x.png: expected a path relative to the input with {name} in it"),
        (["--format", "gif"], "'gif' is not one of"),
    ],
)
def test_options_that_cannot_be_meant(use, tmp_path, arguments, expected):
    finished = use(*arguments)
    lines = [line for line in finished.stderr.splitlines() if "--precision bf16" not in line]  # slow on some
    assert finished.code == 2 and len(lines) == 1 and expected in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_video(use, tmp_path):
    pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    from tests.pipelines.data.video.films import film

    source = film(tmp_path / "in.mp4")
    finished = use("--dry-run", source=source, output="out.mp4")
    assert finished.code == 0 and finished.stdout.startswith("10 frames of 48x32 at 25.000 per second\n")
    finished = use(source=source, output="out.mp4")
    assert finished.code == 0, finished.stderr
    assert finished.stdout == "10 frames in = 10 frames out (10 translated, 0 already there)\n"
    assert use(source=source, output="out.mp4").stdout.endswith("(0 translated, 10 already there)\n")
    finished = use(source=source)
    assert finished.code == 2 and "a video is translated into a video; give --output a name" in finished.stderr
    finished = use("--shard", "1/2", source=source, output="other.mp4")
    assert finished.code == 2 and "--shard 1/2: a video is translated by one process" in finished.stderr


def test_two_processes_share_the_frames_and_report_failures_once(launch, tiny_run, photos, tmp_path):
    """Both have a frame that fails. Torchrun itself starts those of `segment predict`, in segment/test_predict.py."""
    for name in ("a/cut.png", "b/cut.png"):
        (photos / name).write_bytes(encode_png(photo(9))[:40])
    command = ["translate", "run", "--checkpoint", tiny_run / "seed-0/translator", "--input", photos]
    ended = launch(*[[*command, "--output", tmp_path / "out", "--threads", 1]] * 2)
    assert 3 in ended.codes and set(ended.codes) <= {0, 3}, ended.stderr
    assert "6 frames in, 4 frames out" in ended.stdout and "part " in ended.stdout
    assert len((tmp_path / "out/manifest.jsonl").read_text().splitlines()) == 4
    assert len((tmp_path / "out/failures.jsonl").read_text().splitlines()) == 2
