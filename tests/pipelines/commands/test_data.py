"""`sim2real data`: what is said of an experiment's frames, and what is drawn of toy world."""

import shutil

import click
import numpy as np
import pytest
from click.testing import CliRunner

from pipelines.commands.data import data_check, data_toyworld
from pipelines.data.images import image_size, write_image
from pipelines.errors import SomeInputsFailedError, UserError


def draw(*arguments):
    result = CliRunner().invoke(data_toyworld, [str(word) for word in arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_every_set_is_read(on_tiny):
    said = on_tiny(data_check)
    assert [said.count(f"[{part}]") for part in ("source", "target", "validation")] == [1, 1, 1]
    assert said.count(": ok") == 3


def test_classes_that_the_validation_labels_merge_are_named(on_tiny, tmp_path):
    """And each set is shown as its files are: the sources' vegetation is counted as such."""
    write_image(tmp_path / "idd/leftImg8bit/train/5/000001_image.jpg", np.zeros((4, 6, 3), np.uint8))
    write_image(tmp_path / "idd/gtFine/train/5/000001_label.png", np.zeros((4, 6), np.uint8))
    validation = f'[{{ reader = "idd_lite", root = "{tmp_path / "idd"}" }}]'
    said = on_tiny(data_check, "--set", f"validation={validation}")
    assert "[classes] labels for evaluation merge some, so all sets are learnt so: sidewalk + terrain; building" in said
    source = said[said.index("[source]") : said.index("[target]")]
    assert "vegetation" in source and "vegetation      0.000%" not in source


def test_a_validation_set_of_frames_that_are_learnt_from_is_warned_of(on_tiny, tiny_config):
    assert "WARNING" not in on_tiny(data_check)
    said = on_tiny(
        data_check, "--set", f"validation.0.root={tiny_config.parent / 'frames/camera'}", "--set", "validation.0.seed=2"
    )
    validation = said[said.index("[validation]") :]
    assert "  WARNING: camera_val shares 4 drives with target camera (toyworld/toyworld_000000_000019, " in validation


def test_test_frames_must_be_of_drives_that_nothing_else_has(on_tiny, tiny_config):
    """Those of validation are: what is chosen by them may not be tested on them."""
    root = tiny_config.parent / "frames/camera_val"
    said = on_tiny(
        data_check,
        "--set",
        f'test=[{{ reader = "cityscapes", name = "last", root = "{root}", first = 2 }}]',
    )
    last = said[said.index("[test] last") :]
    assert "WARNING: last shares 2 drives with validation camera_val" in last and said.count("WARNING") == 1


def test_sets_with_problems_are_counted_after_all_were_read(tiny_config, tmp_path):
    frames = shutil.copytree(tiny_config.parent / "frames", tmp_path / "frames")
    (tmp_path / "tiny.toml").write_text(tiny_config.read_text().replace(str(tiny_config.parent), str(tmp_path)))
    image = sorted((frames / "camera").rglob("*leftImg8bit*.png"))[0]
    image.write_bytes(image.read_bytes()[:60])
    result = CliRunner().invoke(data_check, [str(tmp_path / "tiny.toml")], standalone_mode=False)
    assert isinstance(result.exception, SomeInputsFailedError)
    assert str(result.exception) == "sets with problems: 1; they are listed above"
    assert "the PNG is cut off" in result.stdout and "[validation]" in result.stdout


def test_a_set_that_is_not_there_keeps_none_from_being_read(tiny_config):
    """Those that are there are read all the same; where no set is, one line says so."""

    def checked(*parts):
        nowhere = '[{ reader = "cityscapes", name = "photos", root = "nowhere" }]'
        changes = [word for part in parts for word in ("--set", f"{part}={nowhere}")]
        return CliRunner().invoke(data_check, [str(tiny_config), *changes], standalone_mode=False)

    result = checked("target")
    assert str(result.exception) == "sets with problems: 1; they are listed above"
    assert "[target] photos: NOT OK\n  data/nowhere: the folder of data set 'photos' does not exist" in result.stdout
    assert result.stdout.count(": ok") == 2
    result = checked("source", "target", "validation")
    assert type(result.exception) is UserError and result.stdout == ""


def test_bad_frames_that_are_left_out_are_no_problem(tiny_config, tmp_path):
    frames = shutil.copytree(tiny_config.parent / "frames", tmp_path / "frames")
    (tmp_path / "tiny.toml").write_text(tiny_config.read_text().replace(str(tiny_config.parent), str(tmp_path)))
    image = sorted((frames / "game/rgb").iterdir())[0]
    image.write_bytes(image.read_bytes()[:60])
    command = [str(tmp_path / "tiny.toml"), "--set", "source.0.bad_frames=leave_out"]
    result = CliRunner().invoke(data_check, command, standalone_mode=False)
    assert result.exception is None and result.stdout.count(": ok") == 3
    assert "the PNG is cut off" in result.stdout
    assert "frames that are left out (bad_frames): 1, as said above" in result.stdout


def test_toy_world_is_as_large_as_it_is_asked_for(tmp_path):
    said = draw("--output", tmp_path / "game", "--renderer", "game", "--frames", 2, "--size", 64, 32)
    assert said == f"2 frames in {tmp_path / 'game'}\n"
    drawn = list((tmp_path / "game").rglob("*.png"))
    assert len(drawn) == 4 and {image_size(path) for path in drawn} == {(64, 32)}


def test_frames_too_small_to_draw_are_refused(tmp_path):
    with pytest.raises(click.BadParameter, match="8 is not in the range x>=16"):
        draw("--output", tmp_path, "--renderer", "camera", "--size", 64, 8)


def test_a_folder_of_somebody_elses_frames_is_left_alone(tmp_path):
    """CARLA's frames have the same names."""
    frame = tmp_path / "carla/rgb/000000.png"
    write_image(frame, np.zeros((16, 32, 3), np.uint8))
    before = frame.read_bytes()
    with pytest.raises(UserError, match=r"--output .*carla holds files and no toy world \(toyworld\.json\); choose an"):
        draw("--renderer", "game", "--frames", 1, "--size", 32, 16, "--output", tmp_path / "carla")
    assert frame.read_bytes() == before and [path.name for path in (tmp_path / "carla").iterdir()] == ["rgb"]
    (tmp_path / "empty").mkdir()
    for _ in range(2):  # and the same command carries on
        draw("--renderer", "game", "--frames", 1, "--size", 32, 16, "--output", tmp_path / "empty")
