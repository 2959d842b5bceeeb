"""Frames in order through a network: what is read ahead, and what a file costs that crashes, hangs or fools others.

Every file is translated right or listed in failures.jsonl on one line; the process lives, and the rest is done.
"""

import errno
import json
import os
import shutil

import numpy as np
import pytest
import torch

from pipelines.data import images
from pipelines.data.disk.manifest import read_manifest
from pipelines.data.images import encode_png, image_size, read_image, read_raw, write_image
from pipelines.errors import StorageError
from tests.hostile.image_files import SPECIAL, hostile_files, make_special, odd_files
from tests.pipelines.batch_inference.translating import (
    Counting,
    negative,
    paint,
    run,
    run_folder,
    tree,
)
from tests.pipelines.data.image_bytes import PHOTO, chunk, exif, make_png


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The folder, the names of what cannot be translated, and those of what can."""
    folder = tmp_path_factory.mktemp("hostile")
    bad, odd = hostile_files(), odd_files()
    for name, data in (bad | odd).items():
        (folder / name).write_bytes(data)
    for number in range(3):
        (folder / f"good-{number}.png").write_bytes(encode_png(PHOTO))
    for name in SPECIAL:
        make_special(folder, name)
    (folder / "folder.png").mkdir()
    (folder / "folder.png/good-inside.png").write_bytes(encode_png(PHOTO))
    special = set(SPECIAL)
    good = {f"good-{number}.png" for number in range(3)} | {"folder.png/good-inside.png"}
    return folder, bad.keys() | special, odd.keys() | good


# A frame's name has no suffix, so equal stems are two frames of one name; the folders keep them apart here.


def sorted_by_suffix(folder, target):
    """The folder's files, each kind in a folder of its own."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            continue
        place = target / path.suffix[1:]
        place.mkdir(parents=True, exist_ok=True)
        os.rename(path, place / path.name) if not path.is_symlink() else os.symlink(
            os.readlink(path), place / path.name
        )
    return target


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_sixty_hostile_files_and_more(hostile, tmp_path):
    folder, bad, fine = hostile
    source = sorted_by_suffix(folder, tmp_path / "in")
    os.rename(folder / "folder.png", source / "folder.png")
    bad = {f"{name.rsplit('.')[-1]}/{name}" for name in bad}
    fine = {name if "/" in name else f"{name.rsplit('.')[-1]}/{name}" for name in fine}
    assert len(bad) >= 60
    summary = run_folder(source, tmp_path / "out", negative)
    lines = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert {line["source"] for line in lines} == bad
    assert all(line["source"] in line["reason"] and "\n" not in line["reason"] for line in lines)
    assert "larger than the limit" in next(line["reason"] for line in lines if line["source"] == "png/sparse.png")
    entries = read_manifest(tmp_path / "out/manifest.jsonl")
    assert {entry.image for entry in entries} == fine
    assert (summary.made, summary.failed) == (len(fine), len(bad))
    for name in fine:
        expected, result = 255 - read_image(source / name).astype(int), read_image(tmp_path / "out" / name)
        error = np.abs(result - expected)
        assert result.shape == expected.shape and image_size(tmp_path / "out" / name) == image_size(source / name)
        assert error.mean() < 3 if name.rsplit(".")[-1].lower() in {"jpg", "jpeg"} else not error.any(), name
    assert not [name for name in tree(tmp_path / "out") if name.endswith(".part")]


@pytest.mark.parametrize("options", [{"batch_size": 2}, {"batch_size": 99}, {"workers": 1}, {"workers": 5}])
def test_threads_and_batches_do_not_show_in_the_result(source, tmp_path, options):
    run(source, tmp_path / "one")
    run(source, tmp_path / "other", **options)
    one, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    plan = json.loads(other["translation.json"])
    assert plan.pop("batch", 1) == options.get("batch_size", 1)
    assert plan == json.loads(one.pop("translation.json"))
    assert other.pop("translation.json") and other == one


def test_a_reader_may_give_label_maps(source, tmp_path):
    """The network gets int64 (B, H, W), shrunk without mixing ids, and makes images of the frames' own size."""
    seen = []

    def translate(label_map):
        seen.append((label_map.dtype, tuple(label_map.shape), label_map.unique().tolist()))
        return (label_map[:, None].float() / 255).expand(-1, 3, -1, -1)

    def read(frame):
        label_map = read_raw(frame.label)
        label_map[:3] = 255
        return label_map

    run(source, tmp_path / "out", translate, read=read, height=4)
    assert seen[0] == (torch.int64, (1, 4, 5), [7, 255])
    image = read_image(tmp_path / "out/toy/rgb/-rf.png")
    assert image.shape == (6, 8, 3) and (image[0] == 255).all() and (image[-1] == 7).all()


def test_a_turned_image_whose_label_map_is_not_is_refused(source, tmp_path):
    """The translation is written upright, the label map as it was: read together, they would not fit."""
    turned = make_png(paint(0), 8, 2, chunk(b"eXIf", exif(3)))
    (source / "rgb/-rf.png").write_bytes(turned)
    summary = run(source, tmp_path / "out")
    assert summary.failed == 1 and "has EXIF orientation 3, its label map" in summary.failures[0].reason
    label = make_png(np.full((6, 8), 7, np.uint8), 8, 0, chunk(b"eXIf", exif(3)))
    (source / "ids/-rf.png").write_bytes(label)
    assert run(source, tmp_path / "out").failed == 0
    upright = 255 - paint(0)[::-1, ::-1]
    np.testing.assert_array_equal(read_image(tmp_path / "out/toy/rgb/-rf.png"), upright)
    assert (tmp_path / "out/toy/ids/-rf.png").read_bytes() == label


def test_memory_is_bounded(tmp_path, monkeypatch):
    """With 40 frames and a slow network, no more than a handful may be read ahead."""
    from pipelines.batch_inference import flow as stage

    for index in range(40):
        write_image(tmp_path / f"in/{index:02}.png", paint(index))
    read, translated, ahead = [], [], []
    monkeypatch.setattr(stage, "read_image_and_alpha", lambda path: (read.append(path) or read_image(path), None))

    def translate(image):
        translated.append(1)
        ahead.append(len(read) - len(translated))
        return image

    run_folder(tmp_path / "in", tmp_path / "out", translate)
    assert len(translated) == 40 and max(ahead) <= 4


def spoil(source):
    """Five good frames and five that are not: cut off, empty, a pipe, a dangling link, a name that is not UTF-8."""
    (source / "rgb/cut.png").write_bytes((source / "rgb/a b.png").read_bytes()[:-20])
    (source / "rgb/empty.png").write_bytes(b"")
    os.mkfifo(source / "rgb/pipe.png")
    (source / "rgb/dangling.png").symlink_to("nowhere.png")
    os.rename(shutil.copy(source / "rgb/a b.png", source / "rgb/x.png"), os.fsencode(source / "rgb") + b"/\xff.png")


def test_unreadable_files_are_listed_and_the_rest_is_done(source, tmp_path):
    spoil(source)
    translate = Counting()
    summary = run_folder(source / "rgb", tmp_path / "out", translate)
    assert (summary.made, summary.failed, translate.calls) == (5, 5, 5)
    assert summary.count_line.startswith("10 frames in, 5 frames out")
    lines = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == ["cut", "dangling", "empty", "pipe", "\udcff"]
    assert all("rgb/" in line["reason"] and "\n" not in line["reason"] for line in lines)
    assert [failure.reason for failure in summary.failures] == [line["reason"] for line in lines]
    assert len(read_manifest(tmp_path / "out/manifest.jsonl")) == 5


def test_a_process_out_of_descriptors_blames_no_frame(source, tmp_path, monkeypatch):
    """Else a few seconds of want would leave whole frames out of a set."""

    def fails(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(images, "open_regular", fails)
    with pytest.raises(StorageError, match="Too many open files"):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out/failures.jsonl").exists()
    monkeypatch.undo()
    assert run(source, tmp_path / "out").made == 5


def test_a_label_map_that_cannot_be_carried_along_fails_its_frame(source, tmp_path):
    (source / "ids/a b.png").unlink()
    (source / "ids/a b.png").mkdir()
    summary = run(source, tmp_path / "out")
    assert summary.failed == 1 and "ids/a b.png: cannot read: is a folder" in summary.failures[0].reason
    assert not (tmp_path / "out/toy/rgb/a b.png").exists()


def test_a_stripe_that_would_take_all_memory_at_another_height_costs_one_frame(tmp_path):
    """1x9000 pixels at height 64 are 64x576,000; at its own size it is like any other."""
    for name, size in (("stripe", (1, 9000)), ("usual", (6, 8))):
        write_image(tmp_path / f"in/{name}.png", paint(0, *size))
    outcome = run_folder(tmp_path / "in", tmp_path / "out", height=64)
    assert (outcome.made, outcome.failed) == (1, 1)
    assert "stripe.png: 9000x1 pixels are too long a stripe at height 64" in outcome.failures[0].reason
    assert run_folder(tmp_path / "in", tmp_path / "own").made == 2
