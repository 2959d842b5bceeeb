"""Kinds of videos: which we read and write, what FFmpeg's formats leave out, how pictures are converted."""

from pathlib import Path
from typing import Any

from pipelines.errors import UserError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix of the videos that we write -> FFmpeg's name of the format."""

VIDEO_SUFFIXES = (*CONTAINERS, ".avi", ".mpg", ".mpeg", ".ts")
"""Suffixes of the videos that we read."""

IN_DECODING_ORDER = ("avi",)
"""FFmpeg's names of the formats that keep no times but the packets' order, from which FFmpeg makes up the pictures'."""

EVEN_FORMATS = ("avi", "mpeg", "mpegvideo", "mpegts")
"""FFmpeg's names of the formats that mean an even rate where they give no times."""

CONVERSION = 0x4 | 0x2000 | 0x40000
"""FFmpeg's flags for YUV to RGB and back: bicubic, full chroma, exact rounding. By default a round trip through 4:2:0
darkens every pixel by a level (-1.0, -1.4, -1.1 in red, green, blue; so: 0.0)."""


def is_video(path: Path) -> bool:
    """Whether a path's suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def pixel_format(width: int, height: int) -> str:
    """4:2:0 halves both sides of the colour planes, so odd sides need 4:4:4."""
    return "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"


def not_as_stored(frame: Any) -> str | None:
    """What players do to a decoded picture before they show it, in words; None where they show it as it is stored.

    A picture mirrored up and down passes: PyAV calls it turned by 0 degrees, and its matrix is only to be had by a ring
    of references that keeps every picture until the garbage collector comes by.
    """
    return f"is to be shown turned by {frame.rotation} degrees, or mirrored" if frame.rotation else None


def load_av() -> Any:
    """PyAV; UserError where the extra `video` is not installed."""
    try:
        import av
    except ImportError as error:
        raise UserError("videos need PyAV: pip install 'sim2real[video]'") from error
    return av
