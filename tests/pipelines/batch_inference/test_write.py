"""What a translated frame is written as: its own format and alpha, and the files that go along."""

import errno
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.data.images import write_image
from pipelines.errors import UserError
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import (
    IDENTITY,
    negative,
    paint,
    run,
    run_folder,
    run_plan,
    tree,
)
from tests.pipelines.data.image_bytes import PHOTO, saved


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_every_format_comes_back_as_itself(tmp_path, kind):
    suffix = kind.lower()
    (tmp_path / "in").mkdir()
    (tmp_path / f"in/a.{suffix}").write_bytes(saved(Image.fromarray(PHOTO), kind))
    run_folder(tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / f"out/a.{suffix}") as written:
        assert (written.format, written.mode, written.size) == (kind, "RGB", (56, 40))


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_alpha_comes_back_untouched(tmp_path, suffix):
    alpha = np.random.default_rng(0).integers(0, 256, PHOTO.shape[:2], np.uint8)
    (tmp_path / "in").mkdir()
    picture = Image.fromarray(np.dstack([PHOTO, alpha]))
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    picture.save(tmp_path / f"in/a.{suffix}", **options)
    run_folder(tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / f"out/a.{suffix}") as written:
        values = np.asarray(written)
    assert (values[..., 3] == alpha).all() and (values[..., :3] == 255 - PHOTO).all()


def test_what_a_format_cannot_hold_costs_one_frame(tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/wide.png"), np.zeros((1, 17000, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "in/small.png"), np.zeros((1, 17, 3), np.uint8))
    plan = plan_input(tmp_path / "in", tmp_path / "out", suffix=".webp")[0]
    summary = translate_frames(plan, tmp_path / "out", Network(negative), IDENTITY)
    assert summary.made == 1 and "17000x1 pixels do not fit into .webp" in summary.failures[0].reason


def test_labels_are_copied_where_they_cannot_be_linked(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    run(source, tmp_path / "linked")
    monkeypatch.setattr(os, "link", refuse)
    run(source, tmp_path / "copied")
    assert tree(tmp_path / "copied") == tree(tmp_path / "linked")
    assert not (tmp_path / "copied/toy/ids/a b.png").samefile(source / "ids/a b.png")


def test_the_quality_is_that_of_jpeg(tmp_path):
    write_image(tmp_path / "in/a.jpg", paint(0, 64, 64))
    sizes = []
    for quality in (20, 95):
        run_folder(tmp_path / "in", tmp_path / f"out{quality}", quality=quality)
        sizes.append((tmp_path / f"out{quality}/a.jpg").stat().st_size)
    assert 2 * sizes[0] < sizes[1]
    with pytest.raises(UserError, match="quality = 101: must be 1 to 100"):
        run_folder(tmp_path / "in", tmp_path / "out", quality=101)


def test_the_longest_names_are_written_as_others_are(tmp_path):
    """What is written first has a longer name than the file; then it would be too long for the disk."""
    names = {"a.png", "b" * 251 + ".png", "ä" * 125 + ".png"}
    for name in names:
        write_image(tmp_path / "in" / name, paint(0))
    summary = run_folder(tmp_path / "in", tmp_path / "out")
    assert (summary.made, summary.failed) == (3, 0)
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == names


def test_a_name_too_long_for_the_disk_costs_one_frame(tmp_path):
    write_image(tmp_path / "in/a.jpe", paint(0))
    write_image(tmp_path / "in" / ("b" * 251 + ".jpe"), paint(1))
    plan = plan_input(tmp_path / "in", tmp_path / "out", suffix=".jpeg")[0]  # one letter more
    summary = run_plan(plan, tmp_path / "out")
    assert (summary.made, summary.failed) == (1, 1)
    assert (tmp_path / "out/a.jpeg").exists()
