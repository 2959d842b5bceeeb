"""The papers' protocols: their configs fit data sets as they are published, and say what they would train on them."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import pipelines
from pipelines.cli import cli
from pipelines.data.images import write_image
from pipelines.errors import SomeInputsFailedError
from pipelines.experiment.config import read_experiment

CONFIGS = Path(pipelines.__file__).parent / "configs"
NAMES = ("gta5_to_cityscapes", "synthia_to_cityscapes")
CARLA = "carla_to_cityscapes"
TRAIN, VAL = 3, 2
"""Frames of Cityscapes' splits here."""
CITIES = {"train": "aachen", "val": "frankfurt"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder with tiny data sets in the layouts of the published ones: 4 frames of GTA5, 5 of SYNTHIA, 6 of CARLA,
    Cityscapes.

    Every label map says road in the encoding of its set.
    """
    data = tmp_path_factory.mktemp("published")
    for number in range(4):
        picture(data / f"gta5/images/{number:05}.png")
        write_image(data / f"gta5/labels/{number:05}.png", np.full((8, 14), 7, np.uint8))
    for number in range(5):
        picture(data / f"synthia/RGB/{number:07}.png")
        write_image(data / f"synthia/GT/LABELS/{number:07}.png", np.full((8, 14, 3), (3, 0, 0), np.uint16))
    for number in range(6):
        picture(data / f"carla/rgb/{number:06}.png")
        write_image(data / f"carla/semantic/{number:06}.png", np.full((8, 14, 3), (1, 0, 0), np.uint8))
    for split, frames in (("train", TRAIN), ("val", VAL)):
        for number in range(frames):
            name = f"{split}/{CITIES[split]}/{CITIES[split]}_{number:06}_000019"
            picture(data / f"cityscapes/leftImg8bit/{name}_leftImg8bit.png")
            write_image(data / f"cityscapes/gtFine/{name}_gtFine_labelIds.png", np.full((8, 14), 7, np.uint8))
    return data


def picture(path):
    write_image(path, np.full((8, 14, 3), 90, np.uint8))


@pytest.fixture
def run(published, tmp_path):
    """A function: a command, the config's name and further arguments -> the outcome."""

    def run(command, name, *more):
        places = "--data", str(published), "--run", str(tmp_path / "run")
        return CliRunner().invoke(cli, [*command.split(), str(CONFIGS / f"{name}.toml"), *places, *more])

    return run


def few_enough_labels(name):
    """--set that asks for 1 or 2 labels where the config asks for 50 or more, which the tiny data sets lack."""
    variants = read_experiment(CONFIGS / f"{name}.toml").variant
    repeated = [place for place, variant in enumerate(variants) if variant.labels]
    return [f'--set=variant.{place}.labels=[1, 2, "all"]' for place in repeated]


@pytest.mark.parametrize("name", [*NAMES, CARLA])
def test_the_published_layout_is_read(run, name):
    outcome = run("data check", name)
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.parametrize(("name", "frames"), list(zip(NAMES, (4, 5), strict=True)))
def test_a_dry_run_says_what_would_be_trained(run, name, frames, tmp_path):
    outcome = run("variants", name, "--seeds", "1", "--dry-run", *few_enough_labels(name))
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.output.splitlines()
    assert f"{'validation':<16}  cityscapes_val: {VAL} frames, {VAL} with a label map" in lines
    assert (
        f"{'to be trained':<16}  source_only, seed 0: deeplabv2_resnet101, 150000 steps, batch 1 of "
        f"{928 if frames == 4 else 856}x512, from {frames} labelled source frames"
    ) in lines
    (dacs,) = [line for line in lines if " dacs, seed 0" in line]
    assert dacs.endswith(
        f"by DACS, 250000 steps, batch 2 of 512x512, from {frames} labelled source frames, 3 target frames"
    )
    (ass,) = [line for line in lines if "ass_csa_2_labels, seed 0" in line]
    assert f"{frames} labelled source frames, 2 labelled target frames, 3 target frames" in ass
    started = next(place for place, line in enumerate(lines) if "source_start, seed 0" in line)
    assert started < next(place for place, line in enumerate(lines) if "maxsquare, seed 0" in line)
    assert len(lines) == len(set(lines)) and lines[-1] == "dry run: nothing was trained"
    assert not list((tmp_path / "run").rglob("*.safetensors"))


@pytest.mark.parametrize("name", NAMES)
def test_too_few_labels_are_said_before_anything_is_trained(run, name):
    outcome = run("variants", name, "--only", "ass_csa", "--dry-run")
    assert "labelled_target is 50, but only 3 target frames have a label map" in str(outcome.exception)


def test_a_dry_run_of_translators_says_what_would_be_trained(run, tmp_path):
    outcome = run("variants", CARLA, "--seeds", "1", "--dry-run")
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.output.splitlines()
    assert f"{'source':<16}  carla: 6 frames, 6 with a label map" in lines
    translators = [line.split("  ")[-1].strip() for line in lines if line.startswith("stage one")]
    assert [line.split(", unless")[0] for line in translators] == [
        "cyclegan, seed 0: cyclegan, 595000 steps",
        "cyclegan_no_identity, seed 0: cyclegan, 595000 steps",
        "pix2pixhd, seed 0: pix2pixhd, 595000 steps",
        "pix2pixhd_2048, seed 0: pix2pixhd, 892500 steps",
    ]
    segmenters = [line for line in lines if line.startswith("to be trained")]
    assert len(segmenters) == 6  # source-only, the oracle and one for each translator
    assert all("deeplabv2_resnet101, 150000 steps, batch 1 of 896x512" in line for line in segmenters)
    assert lines[-1] == "dry run: nothing was trained" and not list((tmp_path / "run").rglob("*.safetensors"))


def test_a_release_of_carla_that_did_not_draw_the_frames_is_doubted(run):
    """Road is tag 1 since 0.9.14; before, 1 is a building."""
    outcome = run("data check", CARLA, "--set", "source.0.version=0.9.12")
    assert "it would be road with version 0.9.14 and later" in outcome.output
    assert isinstance(outcome.exception, SomeInputsFailedError) or outcome.exit_code == 3
