"""Files that crash, hang or fool other tools, all in one folder: each costs at most its own frame.

Every file is translated right or listed in failures.jsonl on one line; the process lives, and the rest is done.
"""

import json
import os
import socket
import struct
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.batch_inference.network import Network
from pipelines.batch_inference.plan import plan_folder
from pipelines.data.images import encode_jpeg, encode_png, image_size, read_image
from pipelines.data.manifest import read_manifest
from pipelines.stages.translating.translate_frames import translate_frames
from tests.pipelines.batch_inference.translating import IDENTITY, negative, run_folder, tree
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
    """The same files, each kind in a folder of its own."""
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
    plan = plan_folder(tmp_path / "in", tmp_path / "out", suffix=".webp")
    summary = translate_frames(plan, tmp_path / "out", Network(negative), IDENTITY)
    assert summary.made == 1 and "17000x1 pixels do not fit into .webp" in summary.failures[0].reason
