"""What lies at the bottom of the pictures: road, if their label files are read by the right setting.

The same values mean other classes by another release of CARLA, another order of CamVid's classes, another kind of
Cityscapes' ids. Files do not tell: under the wrong one their labels are valid and wrong, and only look wrong.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pipelines.data.labels.encodings import CARLA_VERSIONS, IGNORE, LabelEncoding, camvid, carla, cityscapes, packed
from segment.classes import CLASS_NAMES

ROAD, CAR = CLASS_NAMES.index("road"), CLASS_NAMES.index("car")

SETTINGS = {"carla": ("version", "version"), "camvid": ("order", "order"), "cityscapes": ("labels_kind", "encoding")}
"""Reader -> the setting that no file tells, and its key in `LabelEncoding.description`."""


@dataclass
class StoredValues:
    """The ids or packed colours of a set's labels as stored: all of them, and how often each is in a bottom row."""

    everywhere: set[int] = field(default_factory=set)
    bottom: Counter[int] = field(default_factory=Counter)

    def add(self, stored: np.ndarray) -> None:
        """Count one label file: (H, W) ids or (H, W, 3) colours."""
        if stored.ndim == 3:
            stored = packed(stored)
        self.everywhere.update(np.unique(stored).tolist())
        values, counts = np.unique(stored[-1], return_counts=True)
        self.bottom.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


@dataclass(frozen=True)
class Remark:
    """One line on a set; `is_doubt` says that its labels are likely wrong."""

    text: str
    is_doubt: bool


def remark_on_bottom_row(encoding: LabelEncoding, values: StoredValues) -> Remark | None:
    """What the bottom rows say of the setting that label files are read by; None where they say nothing.

    Frames of CARLA show road there, or the bonnet of the car that carries the camera, tagged as one. What others show
    there is a doubt only where another value of the setting makes road of it.
    """
    reader = encoding.description["reader"]
    others = {name: other for name, other in _other_readings(encoding).items() if _all_known(other, values)}
    of_road, of_car = ([name for name, other in others.items() if _at_bottom(other, values) == c] for c in (ROAD, CAR))
    bottom = _at_bottom(encoding, values)
    if reader not in SETTINGS or (reader != "carla" and (bottom == ROAD or not of_road)):
        return None
    setting, key = SETTINGS[reader]
    read_by = f"{setting} {encoding.description.get(key)}"
    known = _all_known(encoding, values)
    if bottom == ROAD:
        if not known:  # such as a colour of another release's table, which is told by itself
            return None
        return Remark(f"CARLA {read_by} fits: the bottom row is mostly road", is_doubt=False)
    if bottom == CAR and not of_road and known:
        remedy = f"ignored by own_car = {encoding.own_car:g}" if encoding.own_car else "`own_car` would ignore it"
        bonnet = f"the bottom row is mostly car under {read_by}: probably the bonnet of the own car ({remedy})"
        return Remark(bonnet, is_doubt=False)
    shown = CLASS_NAMES[bottom] if bottom is not None and bottom != IGNORE else "of no class"
    doubt = f"under {read_by} the bottom row is mostly {shown}, expected road"
    if of_road:
        doubt += f"; it would be road with {setting} {' or '.join(of_road)}"
    elif of_car:
        doubt += f"; it would be car (the own bonnet) with {setting} {' or '.join(of_car)}"
    return Remark(f"{doubt}. Check the setting `{setting}`", is_doubt=True)


def _other_readings(encoding: LabelEncoding) -> dict[str, LabelEncoding]:
    """Other values of the setting -> how the same kind of file is read by them."""
    reader, kind = encoding.description["reader"], encoding.description.get("encoding", "")
    readings: dict[str, LabelEncoding] = {}
    if reader == "carla":
        samples = {"0.8.x": "0.8.4", "0.9.0 to 0.9.9": "0.9.0", "0.9.10 to 0.9.13": "0.9.10", "0.10.x": "0.10.0"}
        readings = {group: carla(samples.get(group, "0.9.14"), kind) for group in CARLA_VERSIONS}
    elif reader == "camvid" and kind == "11":
        readings = {order: camvid(order=order) for order in ("segnet", "building_first")}
    elif reader == "cityscapes":
        readings = {ids: cityscapes(ids) for ids in ("labelIds", "labelTrainIds")}
    return {name: other for name, other in readings.items() if other != encoding}


def _table(encoding: LabelEncoding) -> dict[int, int]:
    """Stored id or packed colour -> train id."""
    colours = {r << 16 | g << 8 | b: train_id for (r, g, b), train_id in encoding.colours.items()}
    return {**encoding.ids, **colours}


def _all_known(encoding: LabelEncoding, values: StoredValues) -> bool:
    return values.everywhere <= _table(encoding).keys()


def _at_bottom(encoding: LabelEncoding, values: StoredValues) -> int | None:
    """The most frequent train id of the bottom rows; None if no value there is known."""
    table = _table(encoding)
    counts: Counter[int] = Counter()
    for value, count in values.bottom.items():
        if value in table:
            counts[table[value]] += count
    return counts.most_common(1)[0][0] if counts else None
