"""Image files as an enemy, a broken disk or an odd camera writes them: made here, none of them kept."""

import os
import socket
import struct
import zlib

import numpy as np
from PIL import Image

from pipelines.data.decoding.decode import MAX_BYTES
from pipelines.data.images import UNREAD_SUFFIXES, encode_jpeg, encode_png
from tests.pipelines.data.image_bytes import PHOTO, chunk, exif, make_png, saved

CUTS = (0, 3, 10, 25, 40, 50, 60, 75, 90, 98)
"""Per cent of a file that are left."""
WRONG_DEPTHS = (
    *((0, 0), (0, 3), (0, 32), (1, 8), (2, 1), (2, 2), (2, 4), (2, 32), (3, 16), (4, 1), (4, 2), (4, 4)),
    *((5, 8), (6, 1), (6, 2), (6, 4), (7, 8), (255, 8)),
)
"""PNG colour types with bits per value that do not exist."""
FOREIGN = {
    "gif": b"GIF89a" + bytes(50), "pdf": b"%PDF-1.7 and so on", "html": b"<!DOCTYPE html><html></html>",
    "psd": b"8BPS" + bytes(50), "dds": b"DDS " + bytes(130), "hdr": b"#?RADIANCE\n" + bytes(50),
    "exr": b"v/1\x01" + bytes(50), "bigtiff-le": b"II+\0" + bytes(50), "bigtiff-be": b"MM\0+" + bytes(50),
    "jxl": b"\xff\x0a" + bytes(50), "jxl-box": b"\0\0\0\x0cJXL " + bytes(50), "jp2": b"\0\0\0\x0cjP  " + bytes(50),
    "avif": b"\0\0\0\x20ftypavif" + bytes(50), "heic": b"\0\0\0\x18ftypheic" + bytes(50),
    "mp4": b"\0\0\0\x20ftypisom" + bytes(50), "zip": b"PK\x03\x04" + bytes(50), "gzip": b"\x1f\x8b\x08" + bytes(50),
    "elf": b"\x7fELF" + bytes(50), "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "json": b'{"a": 1}',
    "npy": b"\x93NUMPY\x01\0v\0" + bytes(120), "pickle": b"\x80\x04\x95\x10" + bytes(20), "text": b"a frame\n",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n",
    "ico": b"\0\0\x01\0\x01\0" + bytes(50),
    **{f"p{kind}": b"P%d\n2 2\n255\n" % kind + bytes(20) for kind in range(1, 8)},
}  # fmt: skip
"""What is no image of ours, whatever its name says: a pointer of Git LFS is what a clone without LFS leaves."""


def cut(data, share):
    return data[: int(len(data) * share)]


def flipped(data, place, bit=3):
    """A bit of the byte at a share of the file."""
    spoiled = bytearray(data)
    spoiled[int(len(data) * place)] ^= 1 << bit
    return bytes(spoiled)


def with_size(data, place, form, *size):
    spoiled = bytearray(data)
    spoiled[place : place + struct.calcsize(form)] = struct.pack(form, *size)
    return bytes(spoiled)


def with_header_sum(data):
    """A PNG whose first chunk has the right sum again."""
    spoiled = bytearray(data)
    spoiled[29:33] = struct.pack(">I", zlib.crc32(spoiled[12:29]))
    return bytes(spoiled)


def make_bomb():
    """A PNG whose pixels are really there: 12000x12000 of one bit, compressed a thousandfold."""
    header = struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(12000 * 1501), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def whole_files():
    """Suffix -> bytes of a good file."""
    photo = Image.fromarray(PHOTO)
    return {
        "png": encode_png(PHOTO),
        "jpg": encode_jpeg(PHOTO),
        "webp": saved(photo, "WEBP"),
        "tif": saved(photo, "TIFF", compression="tiff_lzw"),
        "bmp": saved(photo, "BMP"),
    }


def hostile_files():
    """Name -> bytes, of files that cannot be translated."""
    photo, whole = Image.fromarray(PHOTO), whole_files()
    png, jpg = whole["png"], whole["jpg"]
    frame = jpg.index(b"\xff\xc0")
    scan = saved(photo, "JPEG", progressive=True)
    one_scan = scan[scan.rindex(b"\xff\xda") : -2]
    files = {f"cut-{kind}-{left}.{kind}": cut(data, left / 100) for kind, data in whole.items() for left in CUTS}
    files |= {f"foreign-{name}.png": data for name, data in FOREIGN.items()}
    files |= {
        f"depth-{colour}-{depth}.png": with_header_sum(with_size(png, 24, ">BB", depth, colour))
        for colour, depth in WRONG_DEPTHS
    }
    files |= {f"flip-signature-{place}.png": with_size(png, place, ">B", png[place] ^ 8) for place in range(8)}
    files |= {f"unread{suffix}": png for suffix in sorted(UNREAD_SUFFIXES)[:8]}
    return files | {
        "no-end.png": png[:-12],
        "no-end.jpg": jpg[:-2],
        "flip-data.png": flipped(png, 0.5),
        "flip-sum.png": flipped(png, 30 / len(png)),
        "short-data.png": make_png(PHOTO, 8, 2, width=PHOTO.shape[1] + 9),
        "bomb-declared.png": with_header_sum(with_size(png, 16, ">II", 65000, 65000)),
        "bomb-negative.png": with_header_sum(with_size(png, 16, ">II", 2**32 - 1, 2**32 - 1)),
        "bomb-row.png": with_header_sum(with_size(png, 16, ">II", 2**31 - 1, 1)),
        "bomb-real.png": make_bomb(),
        "bomb.jpg": with_size(jpg, frame + 5, ">HH", 65000, 65000),
        "bomb.bmp": with_size(whole["bmp"], 18, "<ii", 60000, 60000),
        "bomb-text.png": make_png(PHOTO, 8, 3, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**27)))),
        "no-pixels.png": with_header_sum(with_size(png, 16, ">I", 0)),
        "no-rows.png": with_header_sum(with_size(png, 20, ">I", 0)),
        "no-header.png": png[:8] + png[33:],
        "chunk-too-long.png": with_size(png, 33, ">I", 2**31),
        "twelve-bits.jpg": with_size(jpg, frame + 4, ">B", 12),
        "two-components.jpg": with_size(jpg, frame + 9, ">B", 2),
        "no-components.jpg": with_size(jpg, frame + 9, ">B", 0),
        "no-rows.jpg": with_size(jpg, frame + 5, ">H", 0),
        "segment-of-nothing.jpg": with_size(jpg, 4, ">H", 0),
        "only-scan.jpg": jpg[:2] + jpg[jpg.index(b"\xff\xda") :],
        "fill-bytes.jpg": b"\xff\xd8" + b"\xff" * 200_000,
        "thousand-scans.jpg": scan[:-2] + one_scan * 1000 + b"\xff\xd9",
        "chunks.png": make_png(PHOTO, 8, 2, chunk(b"teXt", b"") * 110_000),
        "32-bits.tif": saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"),
        "noise.png": png[:8] + np.random.default_rng(1).bytes(500),
        "noise.jpg": jpg[:3] + np.random.default_rng(2).bytes(500),
        "noise.webp": b"RIFF" + np.random.default_rng(3).bytes(500),
        "noise.tif": b"II*\0" + np.random.default_rng(4).bytes(500),
        "loop.tif": b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8) + bytes(64),
        "zeros.bmp": bytes(4096),
        "zeros.png": bytes(4096),
    }


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


SPECIAL = ("pipe.png", "dangling.png", "circle.png", "device.png", "sparse.png", "socket.png")


def make_special(folder, name):
    """What has an image's name and is no file that could be read."""
    path = folder / name
    if name == "pipe.png":
        os.mkfifo(path)
    elif name == "sparse.png":
        with open(path, "wb") as stream:
            stream.truncate(MAX_BYTES + 1)
    elif name == "socket.png":
        with socket.socket(socket.AF_UNIX) as plug:
            here = os.getcwd()
            os.chdir(folder)  # the path of a socket must be short
            plug.bind(name)
            os.chdir(here)
    else:
        path.symlink_to({"dangling.png": "nowhere.png", "circle.png": "circle.png", "device.png": "/dev/zero"}[name])
