"""Label maps that are none, are cut off, or mean something else: each is named, with what it holds, before any step.

One folder for each data set's way of writing labels, read once by `sim2real data check`; the good frames still count.
"""

import os
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from pipelines import cli
from pipelines.data.images import encode_jpeg, encode_png, write_image
from tests.pipelines.data.image_bytes import PHOTO, chunk, exif, make_png, saved

SAMPLED_EVERY = 6
HEIGHT, WIDTH = PHOTO.shape[:2]
CONFIG = """
name = "x"
[[source]]
name = "tested"
root = "tested"
{settings}
[[target]]
name = "camera"
reader = "camvid"
root = "camera"
[[validation]]
name = "val"
reader = "camvid"
root = "camera"
"""


def ids(value=3):
    return np.full((HEIGHT, WIDTH), value, np.uint8)


def in_red(value=1):
    values = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    values[..., 0] = value
    return values


def wide(values):
    return values.astype(np.uint16)


def classes_16_bit(value):
    return wide(in_red(value))


READERS = {
    "carla": ('reader = "carla"\nversion = "0.9.14"', "rgb/{}.png", "semantic/{}.png", in_red),
    "carla palette": ('reader = "carla"\nversion = "0.9.14"\nencoding = "palette"', "rgb/{}.png", "semantic/{}.png",
                      lambda value=None: np.full((HEIGHT, WIDTH, 3), (128, 64, 128), np.uint8) if value is None
                      else np.full((HEIGHT, WIDTH, 3), (value, 1, 2), np.uint8)),
    "gta5": ('reader = "gta5"', "images/{}.png", "labels/{}.png", lambda value=7: ids(value)),
    "cityscapes": ('reader = "cityscapes"', "leftImg8bit/train/x/{}_leftImg8bit.png",
                   "gtFine/train/x/{}_gtFine_labelIds.png", lambda value=7: ids(value)),
    "camvid": ('reader = "camvid"', "train/{}.png", "trainannot/{}.png", ids),
    "synthia": ('reader = "synthia"', "RGB/{}.png", "GT/LABELS/{}.png", lambda value=3: classes_16_bit(value)),
}  # fmt: skip
"""Name -> settings, where images and label maps are, and a label map of one value."""

PHOTOGRAPH = {"synthia": "expected the original", "cityscapes": "3 channels", "camvid": "3 channels"}
WHOLE = {name: encode_png(make()) for name, (_, _, _, make) in READERS.items()}


def spoilt(reader):
    """What is wrong -> the bytes of such a label map, or a function that makes what is no file; words said of it."""
    make, whole = READERS[reader][3], WHOLE[reader]
    turned = struct.pack(">II", WIDTH, HEIGHT)
    assert turned in whole
    found = {
        "empty": (b"", "empty"),
        "text": (b"road road road", "no image"),
        "cut off": (whole[:-20], "cut off"),
        "cut in half": (whole[: len(whole) // 2], "cut off"),
        "a JPEG by another name": (encode_jpeg(PHOTO), "JPEG"),
        "smaller": (encode_png(make()[: HEIGHT // 2]), f"{WIDTH}x{HEIGHT // 2}"),
        "on its side": (encode_png(np.ascontiguousarray(make().swapaxes(0, 1))), f"{HEIGHT}x{WIDTH}"),
        "turned by its EXIF": (whole[:33] + chunk(b"eXIf", exif(6)) + whole[33:], f"{HEIGHT}x{WIDTH}"),
        "an unknown value": (encode_png(make(201)), "unknown"),
        "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "no image"),
        "float": (saved(Image.fromarray(np.ones((HEIGHT, WIDTH), np.float32)), "TIFF"), ""),
        "a photograph": (encode_png(PHOTO), PHOTOGRAPH.get(reader, "unknown")),
        "a pipe": (os.mkfifo, "pipe"),
        "a link to nowhere": (lambda path: os.symlink("nowhere", path), "No such file"),
        "a bomb": (make_png(make()[..., :1] if make().ndim == 3 else make(), 8, 0, width=2**31 - 1), "megapixels"),
    }
    if reader in ("cityscapes", "camvid"):
        found["colours"] = (encode_png(np.full((HEIGHT, WIDTH, 3), (128, 64, 128), np.uint8)), "3 channels")
        found["16 bits"] = (encode_png(wide(ids(0)) + 300), "unknown ids 300")
    if reader == "synthia":
        found["8 bits"] = (encode_png(in_red(3)), "expected the original GT/LABELS file")
        found["swapped channels"] = (encode_png(classes_16_bit(3)[..., ::-1]), "red and blue are swapped")
    if reader == "carla":
        found["swapped channels"] = (encode_png(in_red()[..., ::-1]), "red and blue are swapped")
    if reader == "carla palette":
        found["swapped channels"] = (encode_png(np.full((HEIGHT, WIDTH, 3), (142, 0, 0), np.uint8)), "swapped")
        found["ids"] = (encode_png(ids()), "no 8-bit RGB")
    return found


CASES = [(reader, what) for reader in READERS for what in spoilt(reader)]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A function: a data set -> what `data check` says of the folder that holds all its bad label maps."""
    known = {}

    def check(reader, monkeypatch, capsys):
        if reader not in known:
            known[reader] = examine(reader, tmp_path_factory.mktemp("labels"), monkeypatch, capsys)
        return known[reader]

    return check


def examine(reader, folder, monkeypatch, capsys):
    settings, image, label, _ = READERS[reader]
    for number, content in enumerate([WHOLE[reader], *(content for content, _ in spoilt(reader).values())]):
        name = f"f{number:02}"
        write_image(folder / "tested" / image.format(name), PHOTO)
        path = folder / "tested" / label.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)
    write_image(folder / "camera/train/a.png", PHOTO)
    write_image(folder / "camera/trainannot/a.png", ids())
    (folder / "x.toml").write_text(CONFIG.format(settings=settings))
    monkeypatch.setattr(sys, "argv", ["sim2real", "data", "check", str(folder / "x.toml"), "--data", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr()
    return stopped.value.code, said.out, said.err


@pytest.mark.parametrize(("reader", "what"), CASES)
def test_it_is_named_with_what_is_wrong(checked, monkeypatch, capsys, reader, what):
    code, out, err = checked(reader, monkeypatch, capsys)
    said = [line for line in err.splitlines() if not line.startswith("check ")]  # progress, on a slow machine
    assert code == 3 and said == ["error: sets with problems: 1; they are listed above"]
    place = READERS[reader][2].format(f"f{list(spoilt(reader)).index(what) + 1:02}")
    lines = [line for line in out.splitlines() if place in line]
    assert lines, out
    assert any(spoilt(reader)[what][1] in line for line in lines), lines


@pytest.mark.parametrize("reader", READERS)
def test_the_good_frame_is_not_blamed_and_counts(checked, monkeypatch, capsys, reader):
    _, out, _ = checked(reader, monkeypatch, capsys)
    assert READERS[reader][2].format("f00") not in out
    assert f"  frames  {len(spoilt(reader)) + 1}, of which " in out
