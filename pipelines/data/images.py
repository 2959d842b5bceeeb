"""The only place where image files are decoded and encoded, and where BGR/RGB and 0..255/0..1 are converted.

A bad file costs one frame and never the run: what is not a regular file, too large or cut off is refused before a
decoder sees it, then the decoders that were measured not to crash are used (kornia_rs for PNG, simplejpeg in its strict
mode for JPEG, Pillow for the rest), and those in other processes (`decoding/decoders.py`). Every refusal is an
`ImageError` of one line.

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
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import kornia_rs.io
import numpy as np
import simplejpeg
from PIL import Image, ImageOps

from pipelines.data.decoding.decoders import Stored, current_decoders
from pipelines.data.decoding.headers import MAX_SCANS, Header, open_with_pillow, read_header
from pipelines.data.disk.files import OUT_OF_RESOURCES, open_regular, write_atomically
from pipelines.errors import ImageError, NumericalError, StorageError, UserError

if TYPE_CHECKING:  # the commands that only look at files start in a tenth of the time
    from torch import Tensor

Result = TypeVar("Result")
Decoded = tuple[np.ndarray, np.ndarray | None]
"""An image and its alpha, or a label map and its palette."""

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".jpe", ".jfif", ".jif", ".dib", ".apng",
)  # fmt: skip
"""Suffixes of the images that we read."""
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
        return _decode_with_alpha(data, read_header(io.BytesIO(data), len(data)))[0]

    return _refusing(Path("image in memory"), decode, AN_IMAGE)


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
        _refuse_suffix(path)
        with open_regular(path) as stream:
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            return read_header(stream.raw, size)

    return _refusing(path, measure, AN_IMAGE)


def _read(kind: str, path: Path) -> Decoded:
    """The arrays of a file of one of KINDS, decoded by another process where this one has some for that."""
    decoders = current_decoders()
    if decoders is None:
        return read_here(kind, path)

    def read() -> Decoded:
        first, second = (None if one is None else _array(one) for one in decoders.read(kind, path))
        return first, second

    return _refusing(path, read, KINDS[kind][1])


def _array(stored: Stored) -> np.ndarray:
    return np.frombuffer(stored.data, stored.dtype).reshape(stored.shape)


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
        _refuse_suffix(path)
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            data = stream.read(min(size, MAX_BYTES) + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"the file is larger than the limit of {MAX_BYTES // 2**20} MiB")
        header = read_header(io.BytesIO(data), len(data))
        before_decoding(header)
        return decode(data, header)

    return _refusing(path, read, expected)


def _refuse_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in UNREAD_SUFFIXES:
        raise ValueError(f"{suffix} is a format that is not read; convert it to PNG")


def _refusing(path: Path, read: Callable[[], Result], expected: str) -> Result:
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


# --- decoding --------------------------------------------------------------------------------------

KORNIA_MODES = {0: "mono", 2: "rgb", 3: "mono", 6: "rgba"}
"""PNG colour type -> kornia_rs mode. "mono" of a palette image is its index (compared with Pillow in the tests)."""


def _decode_image(data: bytes, header: Header) -> Decoded:
    return _decode_with_alpha(data, header)[0], None


def _decode_with_alpha(data: bytes, header: Header) -> Decoded:
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
    "image and alpha": (_decode_with_alpha, AN_IMAGE),
    "label map": (_decode_raw, "a whole PNG label map"),
}
"""What may be wanted of a file: how it is decoded, and what the file is expected to be."""

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


def encode_jpeg(array: np.ndarray, quality: int = 95) -> bytes:
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

LOSSY = tuple(suffix for suffix, encoder in ENCODERS.items() if encoder is encode_jpeg)
WITH_ALPHA = (".png", ".apng", ".webp", ".tif", ".tiff")
"""Formats that can hold an alpha channel; their encoders take (H, W, 4) too."""

LONGEST_SIDE = {".webp": 16383, **dict.fromkeys(LOSSY, 65500)}
"""Pixels, where the format sets a limit below that of our readers."""


def encode_image(array: np.ndarray, suffix: str, quality: int = 95, alpha: np.ndarray | None = None) -> bytes:
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
