"""Numbers from MATLAB's files of version 5, read in Python alone.

scipy reads them by native code that a single flipped bit can crash, and all that data sets keep in such files is a few
lists. The format is that of The MathWorks' "MAT-File Format" (level 5): a header, then elements of a kind and a size.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np

HEADER = 128
MATRIX, COMPRESSED = 14, 15
LARGEST = 64 * 2**20
"""Bytes that a compressed element may come to; a list of frames is a thousandth of it."""
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Kind of an element -> numpy's name of its numbers."""
NUMERIC_CLASSES = range(6, 16)
"""Classes of arrays of numbers: doubles, singles and integers."""


def numbers_in(data: bytes, name: str) -> np.ndarray:
    """A variable's numbers as they are stored, column by column; none where there is no such array of numbers.

    Args:
        data: The whole file.
        name: Of the variable.

    Raises:
        ValueError: It is no such file, or is damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("it is no MATLAB file of version 5")
    for kind, content in _elements(data[HEADER:], order):
        if kind == COMPRESSED:
            kind, content = next(_elements(_inflated(content), order), (0, b""))
        found = _variable(content, order) if kind == MATRIX else None
        if found is not None and found[0] == name:
            return found[1]
    return np.empty(0)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each element; those of four bytes or less share eight with their kind and size."""
    place = 0
    while place + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, place)
        if is_small := kind > 0xFFFF:
            kind, size = kind & 0xFFFF, kind >> 16
        start, most = (place + 4, 4) if is_small else (place + 8, len(data) - place - 8)
        if size > most:
            raise ValueError("it is cut off, or damaged")
        yield kind, data[start : start + size]
        place = start + 4 if is_small else start + size + (0 if kind == COMPRESSED else -size % 8)


def _variable(matrix: bytes, order: str) -> tuple[str, np.ndarray] | None:
    """Name and numbers of a matrix; None of one that holds text, cells or the like."""
    (_, flags), _, (_, name), (kind, values), *_ = _elements(matrix, order)
    (word,) = struct.unpack_from(f"{order}I", flags.ljust(4, b"\0"))
    if word & 0xFF not in NUMERIC_CLASSES or kind not in NUMBERS:
        return None
    return name.decode("latin1"), np.frombuffer(values, np.dtype(NUMBERS[kind]).newbyteorder(order))


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from error
    if not inflater.eof:
        raise ValueError("it is cut off, or larger than any list of frames")
    return content
