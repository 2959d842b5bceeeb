"""Headers of image files, read from bytes written by hand: sizes, orientations, and what is refused in which words."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from pipelines.data.decoding.headers import Header, open_with_pillow, read_header


def header_of(data):
    return read_header(io.BytesIO(data), len(data))


def png(width=7, height=5, depth=8, colour_type=2, before=b"", end=True):
    def chunk(kind, contents):
        return struct.pack(">I", len(contents)) + kind + contents + bytes(4)

    facts = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", facts) + before + (chunk(b"IEND", b"") if end else b"")


def oriented(orientation):
    """An EXIF block with one entry: tag 274, a short."""
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 274, 3, 1, orientation, 0) + bytes(4)


def segment(kind, contents):
    return struct.pack(">BBH", 0xFF, kind, len(contents) + 2) + contents


def frame(width=7, height=5, depth=8, components=3, kind=0xC0):
    return segment(kind, struct.pack(">BHHB", depth, height, width, components) + bytes(3 * components))


SCAN = segment(0xDA, bytes(6))
JPEG = b"\xff\xd8"


def test_a_png():
    assert header_of(png()) == Header("PNG", 7, 5, 8, 2)
    assert header_of(png(depth=16, colour_type=0)) == Header("PNG", 7, 5, 16, 0)


def test_a_jpeg():
    header = header_of(JPEG + frame() + SCAN)
    # Two bytes of magic, then a segment of 2 + 2 + 6 + 9 = 19 bytes.
    assert header == Header("JPEG", 7, 5, components=3, scan_offset=21)
    assert header_of(JPEG + frame(components=1, kind=0xC2) + SCAN).components == 1, "progressive, grey"
    assert header_of(JPEG + b"\xff\xff\xff" + frame() + SCAN).scan_offset == 24, "fill bytes"


@pytest.mark.parametrize("orientation, shown", [(1, (7, 5)), (3, (7, 5)), (6, (5, 7)), (8, (5, 7))])
def test_orientation(orientation, shown):
    exif = oriented(orientation)
    in_png = png(before=struct.pack(">I", len(exif)) + b"eXIf" + exif + bytes(4))
    in_jpeg = JPEG + segment(0xE1, b"Exif\0\0" + exif) + frame() + SCAN
    for data in (in_png, in_jpeg):
        header = header_of(data)
        assert (header.orientation, header.width, header.height) == (orientation, 7, 5)
        assert header.shown_size == shown


@pytest.mark.parametrize("block", [oriented(9), oriented(0), b"II*\0", b"nonsense"])
def test_a_damaged_orientation_is_none(block):
    assert header_of(JPEG + segment(0xE1, b"Exif\0\0" + block) + frame() + SCAN).orientation == 1


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", [None, 6])
def test_formats_left_to_pillow_give_the_size_as_stored(kind, orientation):
    exif = Image.Exif()
    if orientation and kind != "BMP":
        exif[274] = orientation
    stream = io.BytesIO()
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(stream, kind, **({} if kind == "BMP" else {"exif": exif}))
    header = header_of(stream.getvalue())
    turned = bool(exif)
    assert (header.format, header.width, header.height) == (kind, 7, 5)
    assert header.shown_size == ((5, 7) if turned else (7, 5))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "the file is empty"),
        (b"%PDF-1.7 and so on", "is no image that we read"),
        (b"GIF89a and so on", "is a GIF, a format that is not read"),
        (b"P6\n7 5\n255\n", "is a PNM, a format that is not read"),
        (b"\0\0\0\x1cftypavif0000", "is an AVIF or HEIF file, or a video, a format that is not read"),
        (png(end=False), "the PNG is cut off"),
        (png()[:-3], "the PNG is cut off"),
        (png()[:8] + png()[33:], "the PNG does not begin with an IHDR chunk"),
        (png(depth=4), "the PNG declares colour type 2 with 4 bits, which does not exist"),
        (png(width=0), "the header declares 0x5 pixels"),
        (png(10_001, 10_000), "the header declares 10001x10000 pixels, more than the limit of 100 megapixels"),
        (JPEG + b"\xff" + frame(), "the JPEG is cut off before its first scan"),
        (JPEG + b"\x12\x34\x56\x78", "is no image that we read"),
        (JPEG + frame() + b"\x12\x34\x56\x78", "a segment does not begin with a marker"),
        (JPEG + SCAN, "it has a scan but no frame header"),
        (JPEG + frame(depth=12) + SCAN, "the JPEG has 3 components of 12 bits, expected 1, 3 or 4 of 8 bits"),
        (JPEG + frame(components=2) + SCAN, "the JPEG has 2 components of 8 bits"),
        (b"II*\0" + bytes(8), "the TIFF is damaged, or of a kind that is not read"),
    ],
)
def test_what_is_refused(data, message):
    with pytest.raises(ValueError) as caught:
        header_of(data)
    assert message in str(caught.value)


def test_the_size_limit_is_exact():
    assert header_of(png(10_000, 10_000)).width == 10_000


def test_pillow_reads_the_one_format_named():
    with pytest.raises(ValueError, match="the BMP is damaged, or of a kind that is not read"):
        open_with_pillow(io.BytesIO(png()), "BMP")
