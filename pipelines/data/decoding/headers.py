"""What an image file says about itself before anything is decoded: format, size, depth, orientation, completeness.

Decoders believe a header: one that declares 65000x65000 pixels costs them minutes or the process its life. So we read
the few bytes ourselves, whatever the file is called, and refuse, with a ValueError, before a decoder sees the rest.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

MAX_PIXELS = 100_000_000
"""Largest width x height that is decoded; the largest driving frames have 9 million."""

PILLOW_FORMATS = {b"RIFF": "WEBP", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF"}
"""First bytes -> the formats left to Pillow. An allow-list: its rarer formats have had the security holes."""

OTHER_FORMATS = {
    b"GIF8": "a GIF", b"8BPS": "a PSD", b"DDS ": "a DDS", b"#?RA": "a Radiance HDR", b"v/1\x01": "an OpenEXR file",
    b"II+\0": "a BigTIFF", b"MM\0+": "a BigTIFF", b"\xff\x0a": "a JPEG XL", b"\0\0\0\x0cJXL ": "a JPEG XL",
    b"\0\0\0\x0cjP  ": "a JPEG 2000", **{b"P%d\n" % kind: "a PNM" for kind in range(1, 8)},
    **{b"\0\0\0%cftyp" % length: "an AVIF or HEIF file, or a video" for length in range(16, 64, 4)},
}  # fmt: skip
"""First bytes -> what a file is that was expected to be one of ours, for the message."""

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""Bits per sample that go with each PNG colour type: 0 grey, 2 RGB, 3 palette, 4 grey + alpha, 6 RGB + alpha."""

MAX_CHUNKS = 100_000
"""Parts of a file that we step over; a PNG of our largest size in pieces of 8 KiB has fewer."""

MAX_SCANS = 100
"""A progressive JPEG has about 10 scans; thousands of them are an attack on the decoder's time."""


@dataclass(frozen=True)
class Header:
    """Declared facts of one image file.

    Width and height are as stored, before `orientation` (EXIF, 1 to 8) is applied. `colour_type` is PNG's, `components`
    and `scan_offset` (of the first scan, in bytes) are JPEG's.
    """

    format: str
    width: int
    height: int
    depth: int = 8
    colour_type: int = 2
    components: int = 3
    orientation: int = 1
    scan_offset: int = 0

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) in pixels once the orientation is applied; 5 to 8 lie on their side."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(stream: BinaryIO, size: int) -> Header:
    """Header of an open image of `size` bytes, told by its first bytes and never by its name.

    Raises:
        ValueError: Empty, of no known format, cut off, damaged, or more than MAX_PIXELS large.
    """
    if size == 0:
        raise ValueError("the file is empty")
    magic = stream.read(8)
    if magic == PNG_MAGIC:
        header = _png_header(stream, size)
    elif magic[:3] == b"\xff\xd8\xff":
        header = _jpeg_header(stream, size)
    else:
        header = _pillow_header(stream, magic)
    _check_size(header)
    return header


def _check_size(header: Header) -> None:
    if header.width < 1 or header.height < 1:
        raise ValueError(f"the header declares {header.width}x{header.height} pixels")
    if header.width * header.height > MAX_PIXELS:
        raise ValueError(
            f"the header declares {header.width}x{header.height} pixels, more than the limit of "
            f"{MAX_PIXELS // 1_000_000} megapixels"
        )


def _png_header(stream: BinaryIO, size: int) -> Header:
    """Walk over the chunks up to IEND: libpng-based readers accept a file whose end is missing, we do not."""
    facts: tuple[int, int, int, int] | None = None
    orientation = 1
    offset = len(PNG_MAGIC)
    for _ in range(MAX_CHUNKS):
        stream.seek(offset)
        prefix = stream.read(8)
        offset += 12 + int.from_bytes(prefix[:4], "big")
        if len(prefix) < 8 or offset > size:
            raise ValueError("the PNG is cut off")
        kind = prefix[4:]
        if facts is None:
            facts = _png_facts(kind, stream.read(13))
        elif kind == b"eXIf":
            orientation = _orientation(stream.read(min(offset - stream.tell() - 4, 2**16)))
        elif kind == b"IEND":
            width, height, depth, colour_type = facts
            return Header("PNG", width, height, depth, colour_type, orientation=orientation)
    raise ValueError(f"the PNG has more than {MAX_CHUNKS} chunks")


def _png_facts(kind: bytes, data: bytes) -> tuple[int, int, int, int]:
    if kind != b"IHDR" or len(data) < 13:
        raise ValueError("the PNG does not begin with an IHDR chunk")
    width, height, depth, colour_type = struct.unpack(">IIBB", data[:10])
    if depth not in PNG_DEPTHS.get(colour_type, ()):
        raise ValueError(f"the PNG declares colour type {colour_type} with {depth} bits, which does not exist")
    return width, height, depth, colour_type


def _jpeg_header(stream: BinaryIO, size: int) -> Header:
    """Walk over the segments up to the first scan."""
    facts: tuple[int, int, int, int] | None = None
    orientation = 1
    offset = 2
    for _ in range(MAX_CHUNKS):
        if offset + 4 > size:
            raise ValueError("the JPEG is cut off before its first scan")
        stream.seek(offset)
        marker, length = struct.unpack(">HH", stream.read(4))
        kind = marker & 0xFF
        if marker == 0xFFFF:  # a fill byte
            offset += 1
            continue
        if marker < 0xFF01 or length < 2:
            raise ValueError("the JPEG is damaged: a segment does not begin with a marker")
        if kind == 0xDA:
            return _jpeg_with_scan(facts, orientation, offset)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            facts = _jpeg_facts(stream.read(6))
        elif kind == 0xE1 and stream.read(6) == b"Exif\0\0":
            orientation = _orientation(stream.read(length - 8))
        offset += 2 + length
    raise ValueError(f"the JPEG has more than {MAX_CHUNKS} segments")


def _jpeg_facts(data: bytes) -> tuple[int, int, int, int]:
    if len(data) < 6:
        raise ValueError("the JPEG is cut off in its header")
    depth, height, width, components = struct.unpack(">BHHB", data)
    if depth != 8 or components not in (1, 3, 4):
        raise ValueError(f"the JPEG has {components} components of {depth} bits, expected 1, 3 or 4 of 8 bits")
    return width, height, depth, components


def _jpeg_with_scan(facts: tuple[int, int, int, int] | None, orientation: int, offset: int) -> Header:
    if facts is None:
        raise ValueError("the JPEG is damaged: it has a scan but no frame header")
    width, height, depth, components = facts
    return Header("JPEG", width, height, depth, components=components, orientation=orientation, scan_offset=offset)


def _pillow_header(stream: BinaryIO, magic: bytes) -> Header:
    name = next((name for start, name in PILLOW_FORMATS.items() if magic.startswith(start)), None)
    if name is None:
        other = next((name for start, name in OTHER_FORMATS.items() if magic.startswith(start)), None)
        raise ValueError("is no image that we read" if other is None else f"is {other}, a format that is not read")
    stream.seek(0)
    image = open_with_pillow(stream, name)
    orientation = image.getexif().get(274, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    # Pillow gives a TIFF's size as shown, that of other formats as stored.
    size = image.size[::-1] if name == "TIFF" and orientation >= 5 else image.size
    return Header(name, *size, orientation=orientation)


def open_with_pillow(stream: BinaryIO, name: str) -> Image.Image:
    """An image of one of the formats left to Pillow, not decoded yet.

    Raises:
        ValueError: Pillow does not know it; of a TIFF the reason is looked up, for Pillow names the stream alone.
    """
    try:
        return Image.open(stream, formats=(name,))
    except UnidentifiedImageError as error:
        kind = _tiff_kind(stream) if name == "TIFF" else None
        raise ValueError(kind or f"the {name} is damaged, or of a kind that is not read") from error


def _tiff_kind(stream: BinaryIO) -> str | None:
    """What is unusual about a TIFF's values; None where it cannot be told."""
    stream.seek(0)
    try:
        directory = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
        stream.seek(directory.next)
        directory.load(stream)
        bits = max(directory[TiffImagePlugin.BITSPERSAMPLE])
        samples = directory.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    except Exception:  # Pillow raises SyntaxError, struct.error and more on foreign bytes
        return None
    if bits > 16:
        return f"has {bits} bits per value, more than 16"
    return f"the TIFF has {samples} values of {bits} bits per pixel, a kind that is not read"


def _orientation(exif: bytes) -> int:
    """EXIF orientation 1 to 8; 1 (as stored) where the block is damaged, as every viewer does."""
    block = Image.Exif()
    try:
        block.load(b"Exif\0\0" + exif)
        orientation = block.get(274, 1)
    except Exception:  # Pillow raises SyntaxError, struct.error and more on foreign bytes
        return 1
    return orientation if orientation in range(1, 9) else 1
