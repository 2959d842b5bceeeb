"""Frames in order through a network: what is read ahead, and what a file costs that crashes, hangs or fools others.

Every file is translated right or listed in failures.jsonl on one line; the process lives, and the rest is done.
"""

import json
import os
import shutil
import socket
import struct
import time
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.images import encode_jpeg, encode_png, image_size, read_image, read_raw, write_image
from pipelines.data.manifest import read_manifest
from tests.pipelines.batch_inference.translating import (
    Counting,
    negative,
    paint,
    run,
    run_folder,
    tree,
)
from tests.pipelines.data.test_images import PHOTO, chunk, exif, make_png, saved


def cut(data, share):
    return data[: int(len(data) * share)]


def flipped(data, place, bit=3):
    spoiled = bytearray(data)
    spoiled[int(len(data) * place)] ^= 1 << bit
    return bytes(spoiled)


def with_size(data, place, form, *size):
    spoiled = bytearray(data)
    spoiled[place : place + struct.calcsize(form)] = struct.pack(form, *size)
    return bytes(spoiled)


def with_header_sum(data):
    spoiled = bytearray(data)
    spoiled[29:33] = struct.pack(">I", zlib.crc32(spoiled[12:29]))
    return bytes(spoiled)


def hostile_files():
    """Name -> bytes, of files that cannot be translated."""
    photo = Image.fromarray(PHOTO)
    whole = {
        "png": encode_png(PHOTO),
        "jpg": encode_jpeg(PHOTO),
        "webp": saved(photo, "WEBP"),
        "tif": saved(photo, "TIFF", compression="tiff_lzw"),
        "bmp": saved(photo, "BMP"),
    }
    files = {
        f"cut-{kind}-{percent}.{kind}": cut(data, percent / 100)
        for kind, data in whole.items()
        for percent in (0, 3, 25, 50, 75, 98)
    }
    png, jpg = whole["png"], whole["jpg"]
    frame = jpg.index(b"\xff\xc0")
    lying = make_png(PHOTO, 8, 2, width=PHOTO.shape[1] + 9)
    return files | {
        "no-end.png": png[:-12],
        "no-end.jpg": jpg[:-2],
        "flip-data.png": flipped(png, 0.5),
        "flip-sum.png": flipped(png, 30 / len(png)),
        "flip-signature.png": flipped(png, 0),
        "short-data.png": lying,
        "bomb-declared.png": with_header_sum(with_size(png, 16, ">II", 65000, 65000)),
        "bomb-real.png": with_header_sum(with_size(make_bomb(), 16, ">II", 12000, 12000)),
        "bomb.jpg": with_size(jpg, frame + 5, ">HH", 65000, 65000),
        "bomb.bmp": with_size(whole["bmp"], 18, "<ii", 60000, 60000),
        "bomb-text.png": make_png(PHOTO, 8, 3, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))),
        "no-pixels.png": with_header_sum(with_size(png, 16, ">I", 0)),
        "depth-4.png": make_png(PHOTO, 4, 2),
        "colour-5.png": make_png(PHOTO, 8, 5),
        "twelve-bits.jpg": with_size(jpg, frame + 4, ">B", 12),
        "two-components.jpg": with_size(jpg, frame + 9, ">B", 2),
        "fill-bytes.jpg": b"\xff\xd8" + b"\xff" * 200_000,
        "chunks.png": make_png(PHOTO, 8, 2, chunk(b"teXt", b"") * 110_000),
        "32-bits.tif": saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"),
        "page.png": b"%PDF-1.7 and so on",
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "moving.png": saved(photo, "GIF"),
        "noise.webp": b"RIFF" + np.random.default_rng(3).bytes(500),
        "noise.tif": b"II*\0" + np.random.default_rng(4).bytes(500),
        "loop.tif": b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8) + bytes(64),
        "zeros.bmp": bytes(4096),
    }


def make_bomb():
    """A PNG whose pixels are really there: 12000x12000 of one bit, compressed a thousandfold."""
    header = struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(12000 * 1501), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def odd_files():
    """Name -> bytes, of files that are unusual and whole."""
    photo, grey = Image.fromarray(PHOTO), Image.fromarray(PHOTO[..., 0])
    turned = Image.Exif()
    turned[274] = 6
    alpha = np.dstack([PHOTO, PHOTO[..., :1]])
    values16 = PHOTO.astype(np.uint16) * 257
    jpg = encode_jpeg(PHOTO)
    segment = b"Exif\0\0" + exif(6)
    return {
        "odd-one-pixel.png": encode_png(PHOTO[:1, :1]),
        "odd-one-row.png": encode_png(PHOTO[:1]),
        "odd-grey.png": encode_png(PHOTO[..., 0]),
        "odd-grey.jpg": saved(grey, "JPEG", quality=95),
        "odd-grey-alpha.png": make_png(np.dstack([PHOTO[..., :1]] * 2), 8, 4),
        "odd-alpha.png": encode_png(alpha),
        "odd-alpha.webp": saved(Image.fromarray(alpha), "WEBP", lossless=True, exact=True),
        "odd-alpha.tiff": saved(Image.fromarray(alpha), "TIFF"),
        "odd-16-bit.png": encode_png(values16),
        "odd-16-bit-grey.tif": saved(Image.fromarray(values16[..., 0]), "TIFF"),
        "odd-one-bit.png": saved(grey.convert("1"), "PNG"),
        "odd-palette.png": saved(photo.quantize(17), "PNG"),
        "odd-animated.png": saved(photo, "PNG", save_all=True, append_images=[photo.rotate(90)]),
        "odd-pages.tif": saved(photo, "TIFF", save_all=True, append_images=[photo.rotate(90)]),
        "odd-progressive.jpeg": saved(photo, "JPEG", progressive=True, quality=95),
        "odd-cmyk.jpg": saved(photo.convert("CMYK"), "JPEG", quality=95),
        "odd-turned.jpg": jpg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpg[2:],
        "odd-turned.tif": saved(photo, "TIFF", exif=turned),
        "odd-jpeg-called.png": jpg,
        "odd-png-called.JPG": encode_png(PHOTO),
        "odd-garbage-behind.png": encode_png(PHOTO) + bytes(1000),
        "odd-colour-key.png": make_png(PHOTO, 8, 2, chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3))),
        "odd-gamma.png": make_png(PHOTO, 8, 2, chunk(b"gAMA", struct.pack(">I", 100000))),
        "odd-interlaced.png": interlaced(),
    }


def interlaced():
    """A PNG of Adam7, which OpenCV and Pillow read and do not write."""
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    parts = [PHOTO[y::down, x::right] for x, y, right, down in passes]
    data = b"".join(b"\0" + row.tobytes() for part in parts for row in part)
    header = struct.pack(">IIBBBBB", PHOTO.shape[1], PHOTO.shape[0], 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """The folder, the names of what cannot be translated, and those of what can."""
    folder = tmp_path_factory.mktemp("hostile")
    bad, odd = hostile_files(), odd_files()
    for name, data in (bad | odd).items():
        (folder / name).write_bytes(data)
    for number in range(3):
        (folder / f"good-{number}.png").write_bytes(encode_png(PHOTO))
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "folder.png").mkdir()
    (folder / "folder.png/good-inside.png").write_bytes(encode_png(PHOTO))
    with open(folder / "sparse.png", "wb") as stream:
        stream.truncate(10 * 2**30)
    with socket.socket(socket.AF_UNIX) as plug:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket must be short
        plug.bind("socket.png")
        os.chdir(here)
    special = {"pipe.png", "dangling.png", "circle.png", "device.png", "sparse.png", "socket.png"}
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
    started = time.monotonic()
    summary = run_folder(source, tmp_path / "out", negative)
    assert time.monotonic() - started < 60
    lines = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert {line["source"] for line in lines} == bad
    assert all(line["source"] in line["reason"] and "\n" not in line["reason"] for line in lines)
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


def test_a_label_map_that_cannot_be_carried_along_fails_its_frame(source, tmp_path):
    (source / "ids/a b.png").unlink()
    (source / "ids/a b.png").mkdir()
    summary = run(source, tmp_path / "out")
    assert summary.failed == 1 and "ids/a b.png: cannot read: is a folder" in summary.failures[0].reason
    assert not (tmp_path / "out/toy/rgb/a b.png").exists()
