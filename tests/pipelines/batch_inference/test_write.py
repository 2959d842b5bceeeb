"""What a translated frame is written as: its own format and alpha, and the files that go along."""

import errno
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.batch_inference import write
from pipelines.batch_inference.inputs import plan_input
from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import with_sidecars
from pipelines.data.images import write_image
from pipelines.errors import StorageError, UserError
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


def no_links(*_):
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_labels_are_copied_where_they_cannot_be_linked(source, tmp_path, monkeypatch):
    run(source, tmp_path / "linked")
    monkeypatch.setattr(os, "link", no_links)
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


@pytest.mark.parametrize("linked", [True, False])
def test_what_goes_along_and_is_gone_by_then_costs_its_frame(photos, tmp_path, monkeypatch, linked):
    """It was there when the frame was read; the file that is named is that one, not the place for its copy."""
    if not linked:
        monkeypatch.setattr(os, "link", no_links)
    plan = plan_input(photos / "rgb", tmp_path / "out")[0]
    plan = with_sidecars(plan, photos, ["instance/{name}.png"])[0]

    def meanwhile(image):
        (photos / "instance/a/0.png").unlink(missing_ok=True)
        return negative(image)

    summary = run_plan(plan, tmp_path / "out", meanwhile)
    assert (summary.made, summary.failed) == (3, 1)
    gone = f"{photos / 'instance/a/0.png'}: cannot be carried along: No such file or directory"
    assert summary.failures[0].reason == gone
    assert not (tmp_path / "out/a/0.png").exists()


def test_what_goes_along_and_is_out_of_reach_ends_the_run(photos, tmp_path, monkeypatch):
    def fails(path):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(write, "open_regular", fails)
    with pytest.raises(StorageError, match=r"0\.png: cannot be carried along: Stale file handle"):
        write.carry_along(photos / "rgb/a/0.png", tmp_path / "copy.png")
