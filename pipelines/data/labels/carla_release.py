"""What lies at the bottom of CARLA's frames: road, if their label files are read by the release that wrote them.

Files do not tell the release: by the table of another one their labels are valid and wrong, and only look wrong.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from pipelines.data.labels.encodings import IGNORE, LabelEncoding, carla
from pipelines.data.labels.label_tables import CARLA_VERSIONS
from pipelines.data.labels.stored_values import packed
from segment.classes import CLASS_NAMES

ROAD, CAR = CLASS_NAMES.index("road"), CLASS_NAMES.index("car")


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


def remark_on_release(encoding: LabelEncoding, values: StoredValues) -> Remark | None:
    """What the bottom rows say of the release by whose table files of CARLA are read; None where they say nothing.

    Road lies there, or the bonnet of the car that carries the camera, tagged as one.
    """
    bottom, known = _at_bottom(encoding, values), _all_known(encoding, values)
    version = f"version {encoding.description['version']}"
    if bottom == ROAD:
        # A value that the table does not hold is told by itself, and whether the release fits is open.
        return Remark(f"CARLA {version} fits: the bottom row is mostly road", is_doubt=False) if known else None
    if bottom == CAR and known:
        remedy = f"ignored by own_car = {encoding.own_car:g}" if encoding.own_car else "`own_car` would ignore it"
        bonnet = f"the bottom row is mostly car under {version}: probably the bonnet of the own car ({remedy})"
        return Remark(bonnet, is_doubt=False)
    others = {name: other for name, other in _other_releases(encoding).items() if _all_known(other, values)}
    road, car = ([name for name, other in others.items() if _at_bottom(other, values) == c] for c in (ROAD, CAR))
    shown = CLASS_NAMES[bottom] if bottom is not None and bottom != IGNORE else "of no class"
    doubt = f"under {version} the bottom row is mostly {shown}, expected road"
    if road:
        doubt += f"; it would be road with version {' or '.join(road)}"
    elif car:
        doubt += f"; it would be car (the own bonnet) with version {' or '.join(car)}"
    return Remark(f"{doubt}. Check the setting `version`", is_doubt=True)


def _other_releases(encoding: LabelEncoding) -> dict[str, LabelEncoding]:
    """Release range -> the same kind of file as those releases wrote it."""
    samples = {"0.8.x": "0.8.4", "0.9.0 to 0.9.9": "0.9.0", "0.9.10 to 0.9.13": "0.9.10", "0.10.x": "0.10.0"}
    groups = {group: carla(samples.get(group, "0.9.14"), encoding.description["encoding"]) for group in CARLA_VERSIONS}
    return {group: other for group, other in groups.items() if other != encoding}


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
