"""Whether a video file is all there, told by the lengths that its container writes down; nothing is decoded.

FFmpeg reads a cut-off Matroska or AVI up to where it ends and calls that the end of the film, so frames would be
missing from the result and nothing would say so. What has no lengths (a live recording, a program stream) ends where
it ends: there only a last piece that is not whole can be noticed.
"""

import struct
from typing import BinaryIO

ISO_BOXES = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot"}
EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
TS_PACKET = 188
REMEDY = "Get the whole file, or keep what is there: ffmpeg -i IN -c copy OUT.mkv"


def missing_part(stream: BinaryIO, size: int) -> str | None:
    """What of an open video of `size` bytes is missing, as the predicate of a sentence; None where nothing is known to.

    Knows ISO media (MP4, MOV), Matroska and WebM, AVI and transport streams, by their first bytes.
    """
    magic = stream.read(12)
    if magic[4:8] in ISO_BOXES:
        return _of_iso(stream, size)
    if magic[:4] == EBML.to_bytes(4, "big"):
        return _of_matroska(stream, size)
    if magic[:4] == b"RIFF" and magic[8:] == b"AVI ":
        return _of_avi(stream, size)
    if magic[:1] == b"G" and _byte_at(stream, TS_PACKET) == b"G" and size % TS_PACKET:
        return _cut_off(f"its last packet has {size % TS_PACKET} of {TS_PACKET} bytes")
    return None


def _cut_off(how: str) -> str:
    return f"is cut off: {how}. {REMEDY}"


def _too_short(end: int, size: int) -> str:
    return _cut_off(f"it should have {end} bytes or more and has {size}")


def _byte_at(stream: BinaryIO, offset: int) -> bytes:
    stream.seek(offset)
    return stream.read(1)


def _of_iso(stream: BinaryIO, size: int) -> str | None:
    """Walk over the boxes of the file; the one of the pictures, `mdat`, may come first or last."""
    offset, kind = 0, b""
    while offset + 8 <= size:
        stream.seek(offset)
        length, kind = struct.unpack(">I4s", stream.read(8))
        if length == 1:
            length = int.from_bytes(stream.read(8), "big")
        if length < 8:  # 0: up to the end of the file; anything else is padding or no box
            return None
        offset += length
        if offset > size:
            return _too_short(offset, size)
    if kind == b"moof":
        return _cut_off("its last fragment has no pictures")
    return _too_short(offset + 8, size) if offset < size else None


def _of_matroska(stream: BinaryIO, size: int) -> str | None:
    """Walk over the elements: over those that say how long they are, into those that do not (live recordings)."""
    offset = 0
    while offset < size:
        stream.seek(offset)
        data = stream.read(12)
        element = _element(data)
        if element is None:
            return _too_short(size + 1, size) if len(data) < 12 else f"is damaged from byte {offset} on. {REMEDY}"
        identity, before, length = element
        offset += before
        if length is None and identity not in (SEGMENT, CLUSTER):
            return f"is damaged from byte {offset} on. {REMEDY}"
        offset += length or 0
        if offset > size:
            return _too_short(offset, size)
        if identity == SEGMENT and length is not None:
            return None
    return None


def _element(data: bytes) -> tuple[int, int, int | None] | None:
    """An element's identity, the bytes before its contents and the bytes of these (None: unknown); None: it is none."""
    width = 9 - data[0].bit_length()
    if width > 4 or len(data) <= width:
        return None
    size_width = 9 - data[width].bit_length()
    end = width + size_width
    if size_width > 8 or len(data) < end:
        return None
    every_bit = (1 << 7 * size_width) - 1
    length = int.from_bytes(data[width:end], "big") & every_bit
    return int.from_bytes(data[:width], "big"), end, None if length == every_bit else length


def _of_avi(stream: BinaryIO, size: int) -> str | None:
    """Walk over the outermost chunks; a recorder writes their lengths when it closes the file."""
    offset = 0
    while offset + 8 <= size:
        stream.seek(offset)
        kind, length = struct.unpack("<4sI", stream.read(8))
        if kind != b"RIFF":  # whatever is appended is no picture
            return None
        if length in (0, 0xFFFFFFFF):
            return f"was never closed by what recorded it. {REMEDY}"
        if offset == 0 and length == size:  # some recorders count these eight bytes too
            return None
        offset += 8 + length + length % 2
        if offset > size + length % 2:
            return _too_short(offset, size)
    return None
