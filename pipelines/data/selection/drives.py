"""Which frames are neighbours: those of one drive are alike, and ten of them say little more than one.

Names tell the drive for data sets that are named so. Else frames whose numbers follow each other are taken to be one:
a stretch, up to the first gap.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

NUMBER = re.compile(r"(\d+)")
GAP = 2.0
"""Steps from one number to the next that are this many times as long as usual end a stretch."""


def drives_of(names: Sequence[str], known: Sequence[str | None]) -> list[str]:
    """The drive of each frame.

    Args:
        names: Of frames of one set, in any order.
        known: The drive of each, None where its name does not tell.

    Returns:
        The known ones; else the name of the first frame of the frame's stretch. Where neither the name tells nor a
        number is in it, the frame is a drive of its own.
    """
    unknown = stretches([name for name, drive in zip(names, known, strict=True) if drive is None])
    return [unknown[name] if drive is None else drive for name, drive in zip(names, known, strict=True)]


def stretches(names: Sequence[str]) -> dict[str, str]:
    """Frame name -> the first frame of its stretch.

    A stretch is of names that differ in one number alone: the last of those that differ among names of the same words,
    so that a camera's number at the end of all of them is none. It ends before a number that lies further from the one
    before it than `GAP` times the median step among these names.
    """
    of_words: dict[tuple[str, ...], list[list[str]]] = {}
    first = {}
    for name in names:
        parts = NUMBER.split(name)  # words and numbers in turn
        if len(parts) == 1:
            first[name] = name
        else:
            of_words.setdefault(tuple(parts[::2]), []).append(parts)
    numbered: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for alike in of_words.values():
        places = range(1, len(alike[0]), 2)
        counting = max((place for place in places if len({parts[place] for parts in alike}) > 1), default=places[-1])
        for parts in alike:
            key = (*parts[:counting], "", *parts[counting + 1 :])
            numbered.setdefault(key, []).append((int(parts[counting]), "".join(parts)))
    for frames in map(sorted, numbered.values()):
        steps = [after - before for (before, _), (after, _) in pairwise(frames)]
        usual = median(steps) if steps else 0
        start = frames[0][1]
        for (_, name), step in zip(frames, [0, *steps], strict=True):
            start = name if step > GAP * usual else start
            first[name] = start
    return first


def evenly_of_drives(drives: Sequence[str], most: int) -> list[int]:
    """Places of at most so many frames of each drive, as far apart as they can be, ascending.

    Args:
        drives: Of each frame, in order.
        most: Frames to leave of a drive; those in the middle of equal parts of it.
    """
    places: dict[str, list[int]] = {}
    for place, drive in enumerate(drives):
        places.setdefault(drive, []).append(place)
    kept = []
    for of_drive in places.values():
        count = min(most, len(of_drive))
        kept += [of_drive[(2 * part + 1) * len(of_drive) // (2 * count)] for part in range(count)]
    return sorted(kept)
