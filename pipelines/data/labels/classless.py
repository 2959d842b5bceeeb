"""Label maps that show no class, or no street: nothing or nonsense is learnt from them, and no loss would say so.

Mostly the files are good and read as what they are not. So all ways of reading are tried on a few of them, and those by
which they look like streets are named.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.data.frames import FrameSet
from pipelines.data.labels.encodings import (
    IGNORE,
    LabelEncoding,
    camvid,
    carla,
    cityscapes,
    gta5,
    idd_lite,
    synthia,
)
from pipelines.data.selection.evenly import evenly
from pipelines.errors import ImageError, NoInputsError
from segment.classes import CLASS_NAMES

ROAD = CLASS_NAMES.index("road")

TRIED = 5
"""Label maps that other readings are tried on."""
LEAST_CLASSES = 3
"""Of fewer a street is not known: a map of one value is a street of one class by half of all tables."""
MOST_IGNORED = 0.5
"""Share of the pixels that a right reading may ignore."""
NAMED = 3
"""Readings that are told; where more fit, the first of them."""

LOOK = "Look at the settings of the set, and at its files with `sim2real data check`"


def refuse_classless(sets: Sequence[FrameSet]) -> None:
    """Before anything is computed: each set of labelled frames must show a class.

    Raises:
        NoInputsError: The label maps of a set are ignored throughout; other readings that would fit are named.
        ImageError: A label map cannot be used.
    """
    for frames in sets:
        if any(map(frames.has_label_map, range(len(frames)))) and not frames.shows_a_class():
            raise NoInputsError(
                f"no label map of {frames.name} shows a class: every pixel is ignored, so there is nothing to learn "
                f"from. {remedy(frames)}"
            )


def remedy(frames: FrameSet) -> str:
    """What to do about a set whose label maps show no class, as a sentence without its full stop."""
    fitting = fitting_readers(frames)
    return f"As label maps of a street they could be read with {' or '.join(fitting)}" if fitting else LOOK


def fitting_readers(frames: FrameSet) -> list[str]:
    """The settings by which a few of the set's label maps look like streets: many classes, road at the bottom."""
    files = [file for file, _ in _a_few(frames)]
    readings = {settings: one for settings, one in _readings().items() if one not in frames.encodings}
    return [settings for settings, one in readings.items() if _are_streets([(file, one) for file in files])][:NAMED]


def likelier_readers(frames: FrameSet) -> list[str]:
    """Those of `fitting_readers` where the label maps do not look like streets as they are read; else none."""
    few = [(file, replace(encoding, own_car=0.0)) for file, encoding in _a_few(frames)]  # what is below may be road
    return [] if not few or _are_streets(few) else fitting_readers(frames)


def _a_few(frames: FrameSet) -> list[tuple[Path, LabelEncoding]]:
    """Some label files from all over the set, and how each is read."""
    labelled = [
        (one.label, one.encoding) for one in frames.frames if one.label is not None and one.encoding is not None
    ]
    return evenly(labelled, TRIED)


def _are_streets(few: Sequence[tuple[Path, LabelEncoding]]) -> bool:
    """Whether label files, each read by an encoding, can be read so and look like streets."""
    try:
        label_maps = [encoding.decode(file) for file, encoding in few]
    except ImageError:
        return False
    counts = sum(np.bincount(label_map.ravel(), minlength=IGNORE + 1) for label_map in label_maps)
    if counts[IGNORE] > MOST_IGNORED * counts.sum() or np.count_nonzero(counts[:IGNORE]) < LEAST_CLASSES:
        return False
    bottom = Counter(np.concatenate([label_map[-1] for label_map in label_maps]).tolist())
    return bottom.most_common(1)[0][0] == ROAD


@lru_cache
def _readings() -> dict[str, LabelEncoding]:
    """How label maps may be written, by the settings that read them so."""
    readings = {
        'reader = "cityscapes"': cityscapes(),
        'reader = "cityscapes" and labels_kind = "labelTrainIds"': cityscapes("labelTrainIds"),
        'reader = "gta5"': gta5(),
        'reader = "synthia"': synthia(),
        'reader = "camvid"': camvid(),
        'reader = "camvid" and order = "building_first"': camvid(order="building_first"),
        'reader = "camvid" and encoding = "32"': camvid("32"),
        'reader = "idd_lite"': idd_lite(),
    }
    for version in ("0.9.9", "0.9.13", "0.9.16", "0.10.0"):
        for encoding in ("raw", "palette"):
            settings = f'reader = "carla", version = "{version}" and encoding = "{encoding}"'
            readings[settings] = carla(version, encoding)
    return readings
