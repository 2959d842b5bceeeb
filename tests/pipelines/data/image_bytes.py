"""Image files as bytes, many of them written by hand, so that every kind of header can be had."""

import io
import struct
import zlib

import cv2
import numpy as np

PHOTO = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8), (0, 0), 3)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_png(values, depth, colour_type, extra=b"", width=None, after=b"", end=True):
    """A PNG written by hand, so that every kind of header can be had."""
    rows = values.astype(">u2") if depth == 16 else values
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width or values.shape[1], len(values), depth, colour_type, 0, 0, 0)
    tail = chunk(b"IEND", b"") if end else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data)) + after + tail


def exif(orientation):
    return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + b"\0\0\0\0"


def saved(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()
