"""The only place where image files are decoded and encoded, and where BGR/RGB and 0..255/0..1 are converted.

A bad file costs one frame and never the run: what is not a regular file, too large or cut off is refused before a
decoder sees it, then the decoders that were measured not to crash are used (kornia_rs for PNG, simplejpeg in its strict
mode for JPEG, Pillow for the rest: `decoding/decode.py`), and those in other processes (`decoding/decoders.py`). Every
refusal is an `ImageError` of one line.

What a file becomes, one rule each:

    the format    read by its first bytes, whatever the name says; written by the name's suffix
    grey          three equal channels; written as RGB
    alpha         set apart, and written back untouched where the format has alpha (PNG, WebP, TIFF)
    colour key    (tRNS of a grey or RGB PNG) ignored; a palette's transparency counts as alpha
    16 bits       round(x / 257), written with 8 bits; TIFF in 16-bit colour keeps its upper 8 bits
    32 bits       refused, as are 12-bit JPEG and every format but PNG, JPEG, WebP, BMP and TIFF
    other names   a suffix of a format that is not read (UNREAD_SUFFIXES) is refused whatever the file holds
    palette       its colours; 1 bit becomes 0 and 255
    CMYK          Pillow's formula (inverted where Adobe's marker says so); written as RGB
    orientation   (EXIF) applied to images and label maps alike; written upright, without the tag
    several       (APNG, animated WebP, pages of a TIFF) the first
    the rest      colour profiles, gamma and other metadata are not applied and not written
    JPEG          written with quality 95 and full colour (4:4:4); WebP without loss; TIFF with LZW
"""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from pipelines.data.decoding.decode import (
    AN_IMAGE,
    KINDS,
    Decoded,
    decode_with_alpha,
    read_here,
    refuse_suffix,
    refusing,
)
from pipelines.data.decoding.decode import UNREAD_SUFFIXES as UNREAD_SUFFIXES  # for all who come through this door
from pipelines.data.decoding.decode import image_error as image_error
from pipelines.data.decoding.decoders import Stored, current_decoders
from pipelines.data.decoding.headers import Header, read_header
from pipelines.data.disk.files import open_regular, write_atomically
from pipelines.errors import NumericalError, UserError

if TYPE_CHECKING:  # the commands that only look at files start in a tenth of the time
    from torch import Tensor

QUALITY = 95
"""Of a JPEG, 1 to 100, where nobody asks for another."""

# --- reading ---------------------------------------------------------------------------------------


def read_image(path: Path) -> np.ndarray:
    """Image file -> uint8 (H, W, 3) RGB.

    Grey becomes three equal channels. Alpha is dropped and the colour under it kept. 16 bits become 8 by
    round(x / 257). A palette becomes its colours. CMYK becomes RGB by Pillow's formula. 1-bit becomes 0 and 255. EXIF
    orientation is applied. Of several pages or moments the first is taken. JPEG data that is damaged inside but
    well-formed cannot be noticed.

    Raises:
        ImageError: Not a regular file, empty, foreign, cut off, damaged, over 100 megapixels or over 512 MiB.
    """
    return _read("image", path)[0]


def decode_image(data: bytes) -> np.ndarray:
    """The bytes of an image file -> uint8 (H, W, 3) RGB; all else as `read_image`."""

    def decode() -> np.ndarray:
        return decode_with_alpha(data, read_header(io.BytesIO(data), len(data)))[0]

    return refusing(Path("image in memory"), decode, AN_IMAGE)


def read_image_and_alpha(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_image`, and the file's alpha, uint8 (H, W), of the same orientation; None where it has none."""
    return _read("image and alpha", path)


def read_raw(path: Path) -> np.ndarray:
    """PNG label file -> its stored values: uint8 or uint16, (H, W) or (H, W, C).

    A palette PNG gives the palette index, never the colour. 16-bit values stay 16-bit. Channels come in the order grey,
    alpha or red, green, blue, alpha. EXIF orientation is applied, as to images.

    Raises:
        ImageError: As `read_image`; also every format but PNG (JPEG changes ids at every border), and grey of 1, 2 or 4
            bits (tools disagree whether the value or its brightness is meant).
    """
    return read_raw_and_palette(path)[0]


def read_raw_and_palette(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_raw`, and the colours of a palette PNG, uint8 (entries, 3) RGB; None for every other PNG."""
    return _read("label map", path)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) in pixels as `read_image` would return it, from the header alone; ImageError as `read_image`."""

    return read_file_header(path).shown_size


def read_file_header(path: Path) -> Header:
    """What the file says about itself; ImageError as `read_image`, but for damage behind the header."""

    def measure() -> Header:
        refuse_suffix(path)
        with open_regular(path) as stream:
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            return read_header(stream.raw, size)

    return refusing(path, measure, AN_IMAGE)


def _read(kind: str, path: Path) -> Decoded:
    """The arrays of a file of one of KINDS, decoded by another process where this one has some for that."""
    decoders = current_decoders()
    if decoders is None:
        return read_here(kind, path)

    def read() -> Decoded:
        first, second = (None if one is None else _array(one) for one in decoders.read(kind, path))
        return first, second

    return refusing(path, read, KINDS[kind][1])


def _array(stored: Stored) -> np.ndarray:
    return np.frombuffer(stored.data, stored.dtype).reshape(stored.shape)


# --- encoding --------------------------------------------------------------------------------------


def encode_png(array: np.ndarray) -> bytes:
    """PNG of a uint8 or uint16 array (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA; equal arrays give equal bytes.

    OpenCV's default effort: measured 6 times faster than zlib level 6 and 10 % larger. Asking for "fast" is slower.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ValueError(f"Cannot write {array.dtype} {array.shape} as PNG; expected uint8 or uint16, (H, W[, 3 or 4])")
    if array.ndim == 3:
        array = array[..., [2, 1, 0, 3][:channels] if channels > 1 else [0]]
    return cv2.imencode(".png", np.ascontiguousarray(array))[1].tobytes()


def encode_jpeg(array: np.ndarray, quality: int = QUALITY) -> bytes:
    """JPEG of a uint8 (H, W, 3) RGB array, 4:4:4: halved colour would blur the thin coloured things (signs, lights)."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"Cannot write {array.dtype} {array.shape} as JPEG; expected uint8 (H, W, 3)")
    return simplejpeg.encode_jpeg(np.ascontiguousarray(array), quality, colorspace="RGB", colorsubsampling="444")


def through_jpeg(array: np.ndarray, quality: int) -> np.ndarray:
    """What a JPEG leaves of a uint8 (H, W, 3) RGB array; with halved colour (4:2:0), as cameras and videos store it."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(array), quality, colorspace="RGB", colorsubsampling="420")
    return simplejpeg.decode_jpeg(data, colorspace="RGB")


def encode_webp(array: np.ndarray) -> bytes:
    """WebP without loss of a uint8 (H, W, 3 or 4) RGB(A) array; the colour under clear pixels is kept.

    Method 1: as small as the default and three times faster (46 ms for a noisy 1024x512 frame).
    """
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "WEBP", lossless=True, exact=True, method=1, quality=0)
    return stream.getvalue()


def encode_tiff(array: np.ndarray) -> bytes:
    """TIFF without loss (LZW) of a uint8 array (H, W) grey or (H, W, 3 or 4) RGB(A)."""
    return _encode_with_opencv(array, ".tiff")


def encode_bmp(array: np.ndarray) -> bytes:
    """BMP of a uint8 array (H, W) grey or (H, W, 3) RGB."""
    return _encode_with_opencv(array, ".bmp")


def _encode_with_opencv(array: np.ndarray, suffix: str) -> bytes:
    if array.ndim == 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    return cv2.imencode(suffix, np.ascontiguousarray(array))[1].tobytes()


ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    ".png": encode_png,
    ".jpg": encode_jpeg,
    ".jpeg": encode_jpeg,
    ".webp": encode_webp,
    ".bmp": encode_bmp,
    ".tif": encode_tiff,
    ".tiff": encode_tiff,
    ".jpe": encode_jpeg,
    ".jfif": encode_jpeg,
    ".jif": encode_jpeg,
    ".dib": encode_bmp,
    ".apng": encode_png,
}
"""Suffix in lower case -> encoder of a uint8 (H, W, 3) RGB array."""
IMAGE_SUFFIXES = tuple(ENCODERS)
"""Suffixes of the images that we read."""

LOSSY = tuple(suffix for suffix, encoder in ENCODERS.items() if encoder is encode_jpeg)
WITH_ALPHA = (".png", ".apng", ".webp", ".tif", ".tiff")
"""Formats that can hold an alpha channel; their encoders take (H, W, 4) too."""

LONGEST_SIDE = {".webp": 16383, **dict.fromkeys(LOSSY, 65500)}
"""Pixels, where the format sets a limit below that of our readers."""


def encode_image(array: np.ndarray, suffix: str, quality: int = QUALITY, alpha: np.ndarray | None = None) -> bytes:
    """An image in the format of a file's suffix.

    Args:
        array: uint8 (H, W, 3) RGB.
        suffix: A key of ENCODERS, in any case.
        quality: Of JPEG, 1 to 100.
        alpha: uint8 (H, W); left out where the format has none.

    Raises:
        ValueError: The image is larger than the format allows.
    """
    suffix = suffix.lower()
    height, width = array.shape[:2]
    if max(height, width) > (limit := LONGEST_SIDE.get(suffix, 2**30)):
        raise ValueError(f"{width}x{height} pixels do not fit into {suffix}, whose sides end at {limit}")
    if suffix in LOSSY:
        return encode_jpeg(array, quality)
    if alpha is not None and suffix in WITH_ALPHA:
        array = np.dstack([array, alpha])
    return ENCODERS[suffix](array)


def write_image(path: Path, array: np.ndarray) -> None:
    """Write `array` in the format of the suffix of `path`, whole or not at all.

    Raises:
        UserError: Another suffix.
        StorageError: The disk refuses.
    """
    suffix = path.suffix.lower()
    if suffix not in ENCODERS:
        raise UserError(f"{path}: cannot write images with suffix {suffix!r}; use one of {', '.join(ENCODERS)}")
    write_atomically(path, ENCODERS[suffix](array))


# --- tensors ---------------------------------------------------------------------------------------


def to_tensor(image: np.ndarray) -> "Tensor":
    """uint8 (H, W, 3) -> float32 (3, H, W) in [0, 1]."""
    import torch

    channels_first = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(channels_first).to(torch.float32).div_(255)


def to_batch(arrays: Sequence[np.ndarray], device: str = "cpu") -> "Tensor":
    """Arrays of one shape -> one tensor on `device`: uint8 RGB (H, W, 3) -> float32 (B, 3, H, W) in [0, 1], label maps
    (H, W) -> int64 (B, H, W).
    """
    import torch

    stacked = torch.from_numpy(np.stack(arrays))
    if device.startswith("cuda"):  # a copy from pageable memory would wait for all the work queued before it
        stacked = stacked.pin_memory()
    stacked = stacked.to(device, non_blocking=True)
    if stacked.ndim == 3:
        return stacked.long()
    return stacked.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def to_image(tensor: "Tensor") -> np.ndarray:
    """Float (3, H, W) in [0, 1], on any device -> uint8 (H, W, 3): clipped, then rounded to the nearest level.

    Raises:
        NumericalError: A value is not a number; it would silently turn black.
    """
    values = tensor.detach().float()
    if not bool(values.isfinite().all()):
        raise NumericalError("An image holds values that are not numbers: the network that made it has diverged.")
    levels = values.clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())
