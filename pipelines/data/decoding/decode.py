"""What the bytes of an image file become, decoded in this process; and the one line that says why not.

`pipelines/data/images.py` is the door to this: it hands a file to other processes (`decoders.py`), where `read_here`
decodes it, or calls that itself. Its table says what every kind of file becomes.
"""

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import kornia_rs.io
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from pipelines.data.decoding.headers import MAX_SCANS, Header, open_with_pillow, read_header
from pipelines.data.disk.files import OUT_OF_RESOURCES, open_regular
from pipelines.errors import ImageError, StorageError, UserError

Result = TypeVar("Result")
Decoded = tuple[np.ndarray, np.ndarray | None]
"""An image and its alpha, or a label map and its palette."""

UNREAD_SUFFIXES = (
    ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm", ".avif", ".heic", ".heif", ".hif", ".jxl", ".jp2", ".j2k",
    ".j2c", ".jpx", ".jpf", ".jpm", ".jxr", ".mpo", ".exr", ".hdr", ".tga", ".psd", ".dds", ".pcx", ".ras", ".sgi",
    ".qoi", ".ico", ".dng", ".raw", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".pef",
    ".srw", ".x3f",
)  # fmt: skip
"""Suffixes of images that we do not read. Wherever images are looked for they are named, not passed over; a camera's
raw file begins like a TIFF, and its thumbnail would be taken for the frame."""
MAX_BYTES = 512 * 2**20

# Our own limit is checked before decoding, and a file is read or refused: Pillow's remarks would only add noise.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def read_here(kind: str, path: Path, before_decoding: Callable[[Header], None] = lambda header: None) -> Decoded:
    """The arrays of a file of one of KINDS, decoded in this process.

    Args:
        kind: What is wanted of it.
        path: The file.
        before_decoding: Is told what the header says before a decoder sees the rest.

    Raises:
        ImageError: As `read_image`.
    """
    decode, expected = KINDS[kind]

    def read() -> Decoded:
        refuse_suffix(path)
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(min(size, MAX_BYTES) + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"the file is larger than the limit of {MAX_BYTES // 2**20} MiB")
        header = read_header(io.BytesIO(data), len(data))
        before_decoding(header)
        return decode(data, header)

    return refusing(path, read, expected)


def refuse_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        raise ValueError(f"{suffix} is a format that is not read; convert it to PNG")


def refusing(path: Path, read: Callable[[], Result], expected: str) -> Result:
    """Whatever a decoder throws becomes one line that names the file."""
    try:
        return read()
    except (KeyboardInterrupt, SystemExit, UserError):
        raise
    except OSError as error:
        if error.errno in OUT_OF_RESOURCES:  # as every other file would fail now: this one must not be left out for it
            raise StorageError(
                f"{path}: cannot read: {error.strerror}. Raise the limit (ulimit -n), or use fewer --workers"
            ) from error
        raise image_error(path, f"{error.strerror or error}. Expected {expected}.") from error
    except MemoryError as error:
        reason = f"it takes more memory than there is, or than an image of its size has use for. Expected {expected}."
        raise image_error(path, reason) from error
    except BaseException as error:  # a panic inside kornia_rs is no Exception
        raise image_error(path, f"{str(error).strip() or type(error).__name__}. Expected {expected}.") from error


def image_error(path: Path, reason: str) -> ImageError:
    """An ImageError of one line, whatever decoders write and people put into file names."""
    name = str(path).replace("\n", r"\n").replace("\r", r"\r")
    return ImageError(f"{name}: {' '.join(reason.split())}")


KORNIA_MODES = {0: "mono", 2: "rgb", 3: "mono", 6: "rgba"}
"""PNG colour type -> kornia_rs mode. "mono" of a palette image is its index (compared with Pillow in the tests)."""


def _decode_image(data: bytes, header: Header) -> Decoded:
    return decode_with_alpha(data, header)[0], None


def decode_with_alpha(data: bytes, header: Header) -> Decoded:
    """A file's bytes to an image, uint8 (H, W, 3) RGB, and its alpha, uint8 (H, W) or None."""
    if header.format == "PNG" and header.depth >= 8 and header.colour_type != 3:
        image, alpha = _to_rgb8(_decode_png(data, header))
    elif header.format == "JPEG":
        image, alpha = _decode_jpeg(data, header), None
    else:
        return _decode_with_pillow(data, header)
    return _oriented(image, header.orientation), None if alpha is None else _oriented(alpha, header.orientation)


def _decode_raw(data: bytes, header: Header) -> Decoded:
    if header.format != "PNG":
        raise ValueError(f"is a {header.format} file, which does not keep label ids safe")
    if header.depth >= 8:
        values = _decode_png(data, header)
    elif header.colour_type == 3:
        values = np.asarray(Image.open(io.BytesIO(data), formats=("PNG",)))
    else:
        raise ValueError(f"is a grey PNG of {header.depth} bit, which is ambiguous: export it with 8 bits")
    return _oriented(values, header.orientation), _png_palette(data) if header.colour_type == 3 else None


def _png_palette(data: bytes) -> np.ndarray:
    """The colours of the PLTE chunk, uint8 (entries, 3), of a PNG whose chunks are known to be whole."""
    offset = 8
    while (kind := data[offset + 4 : offset + 8]) not in (b"PLTE", b"IEND"):
        offset += 12 + int.from_bytes(data[offset : offset + 4], "big")
    size = int.from_bytes(data[offset : offset + 4], "big")
    if kind != b"PLTE" or size % 3:
        raise ValueError("is a palette PNG without a palette")
    return np.frombuffer(data, np.uint8, size, offset + 8).reshape(-1, 3)


def _decode_png(data: bytes, header: Header) -> np.ndarray:
    """Stored values of an 8- or 16-bit PNG, (H, W) or (H, W, C), channels grey-alpha or RGB(A)."""
    shape = (header.height, header.width)
    if header.colour_type == 4 and header.depth == 8:
        return np.asarray(Image.open(io.BytesIO(data), formats=("PNG",)))
    if header.colour_type == 4:  # Pillow would halve the 16 bits; OpenCV copies grey to three channels
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise ValueError("the PNG is damaged")
        return pixels[..., [0, 3]]
    decode = kornia_rs.io.decode_image_png_u16 if header.depth == 16 else kornia_rs.io.decode_image_png_u8
    pixels = np.asarray(decode(data, shape, KORNIA_MODES[header.colour_type]))
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels


def _decode_jpeg(data: bytes, header: Header) -> np.ndarray:
    if data.find(b"\xff\xd9", header.scan_offset) < 0:
        raise ValueError("the JPEG is cut off: it has no end marker")
    if data.count(b"\xff\xda", header.scan_offset) > MAX_SCANS:
        raise ValueError(f"the JPEG has more than {MAX_SCANS} scans")
    if header.components == 4:
        return np.asarray(Image.open(io.BytesIO(data), formats=("JPEG",)).convert("RGB"))
    return simplejpeg.decode_jpeg(data, colorspace="RGB", strict=True)


def _decode_with_pillow(data: bytes, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """What is rare: palettes, 1 to 4 bits, WebP, BMP, TIFF.

    Pillow knows each format's own orientation. Of a PNG it may take it from other chunks than the header's, by which
    PNGs of other kinds are turned, so there the header tells.
    """
    image = open_with_pillow(io.BytesIO(data), header.format)
    image.load()
    if header.format == "PNG":
        colour, alpha = _from_pillow(image)
        return _oriented(colour, header.orientation), None if alpha is None else _oriented(alpha, header.orientation)
    return _from_pillow(ImageOps.exif_transpose(image))


def _from_pillow(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 (H, W, 3), and alpha, uint8 (H, W), if there is one."""
    if image.mode in ("I", "F"):
        raise ValueError("has 32 bits per value, more than 16")
    if image.mode.startswith("I;16"):
        return _to_rgb8(np.asarray(image).astype(np.uint16))
    if "A" in image.getbands() or (image.mode == "P" and "transparency" in image.info):
        return _to_rgb8(np.array(image.convert("RGBA")))
    return np.array(image.convert("RGB")), None


def _to_rgb8(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 or uint16 grey(-alpha) or RGB(A) -> uint8 (H, W, 3) and alpha, uint8 (H, W), if there is one."""
    if values.ndim == 2:
        values = values[..., None]
    if values.dtype == np.uint16:
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    colour = values[..., :3] if values.shape[-1] >= 3 else np.repeat(values[..., :1], 3, axis=-1)
    alpha = np.ascontiguousarray(values[..., -1]) if values.shape[-1] in (2, 4) else None
    return np.ascontiguousarray(colour), alpha


def _oriented(image: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation: 1 as stored, 2-4 mirrored or turned by 180 degrees, 5-8 lying on their side."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


AN_IMAGE = "a whole PNG, JPEG, WebP, BMP or TIFF image"
KINDS: dict[str, tuple[Callable[[bytes, Header], Decoded], str]] = {
    "image": (_decode_image, AN_IMAGE),
    "image and alpha": (decode_with_alpha, AN_IMAGE),
    "label map": (_decode_raw, "a whole PNG label map"),
}
"""What may be wanted of a file: how it is decoded, and what the file is expected to be."""
