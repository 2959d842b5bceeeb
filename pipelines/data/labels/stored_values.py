"""Where a label file holds its classes: in one channel of ids, in one of several, or in colours.

What takes a file's stored values (H, W) or (H, W, C) to these raises ValueError with what it found and expected; who
knows the file adds its name.
"""

from collections.abc import Mapping

import numpy as np

from pipelines.data.labels.label_tables import Colour

SWAPPED = "red and blue are swapped (BGR); save the file with its channels in the order red, green, blue"


def single_channel(values: np.ndarray) -> np.ndarray:
    """The ids themselves (H, W)."""
    if values.ndim != 2:
        raise ValueError(f"has {values.shape[2]} channels, expected one channel of ids")
    return values


def red_channel(values: np.ndarray) -> np.ndarray:
    """The simulator's raw image, or a single channel that someone took out of it."""
    if values.ndim == 2:
        return values
    if _blue_alone(values):
        raise ValueError(f"holds its tags in the blue channel: {SWAPPED}")
    return values[..., 0]


def _blue_alone(values: np.ndarray) -> bool:
    """Whether the first of three or four channels is empty and the third is not."""
    return values.shape[2] >= 3 and not values[..., 0].any() and bool(values[..., 2].any())


def colour_channels(values: np.ndarray) -> np.ndarray:
    """The colours (H, W, 3), without transparency."""
    if values.ndim == 2 or values.shape[2] < 3 or values.dtype != np.uint8:
        raise ValueError("has no 8-bit RGB or RGBA colours, which this encoding is made of")
    return values[..., :3]


def ids_or_colours(values: np.ndarray) -> np.ndarray:
    """The ids (H, W) where there is one channel, else the colours (H, W, 3)."""
    return values if values.ndim == 2 else colour_channels(values)


def first_of_16_bit(values: np.ndarray) -> np.ndarray:
    """The classes (H, W) of SYNTHIA's original files, which hold instances beside them."""
    if values.ndim == 2 or values.shape[2] < 3 or values.dtype != np.uint16:
        form = f"{values.dtype.itemsize * 8}-bit, {1 if values.ndim == 2 else values.shape[2]} channel(s)"
        raise ValueError(f"is {form}, expected the original GT/LABELS file: 16-bit, 3 channels")
    if _blue_alone(values):
        raise ValueError(f"holds its classes in the third channel: {SWAPPED}")
    return values[..., 0]


def packed(colours: np.ndarray) -> np.ndarray:
    """(..., 3) colours -> one number each, red highest."""
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def unknown(what: str, values: list[str]) -> ValueError:
    """That a file holds values, "ids" or "colours", of which its table knows nothing; to be raised."""
    return ValueError(f"holds unknown {what} {_listed(values)}: not in the table of this encoding")


def _listed(values: list[str]) -> str:
    return ", ".join(values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")


def unknown_colours(found: list[Colour], known: Mapping[Colour, int]) -> ValueError:
    """What is wrong with a file of the colours `found`, of which not all are known; to be raised."""
    strange = [f"({r},{g},{b})" for r, g, b in found if (r, g, b) not in known]
    if all((b, g, r) in known for r, g, b in found):
        return ValueError(f"holds unknown colours {_listed(strange)}: {SWAPPED}")
    return unknown("colours", strange)
