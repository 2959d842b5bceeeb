"""How each data set writes classes into its label files, and the way from there to the 19 Cityscapes train ids.

The tables are in `label_maps.json`, each with its sources. A value that a table does not hold is refused with the
file's name: a wrong table shows itself at once instead of as a low score a week later. What a palette file holds is
told by its colours: image tools drop, add and re-order a palette's entries, and every index is then a valid wrong one.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.images import image_error, read_raw_and_palette
from pipelines.errors import UserError
from segment.class_groups import Groups, joined_groups, lowest_ids
from segment.classes import PALETTE

IGNORE = 255
UNKNOWN = -1

Colour = tuple[int, int, int]

CAMVID_11_MERGED = (frozenset({6, 7}), frozenset({12, 18}), frozenset({13, 14, 15}))
"""CamVid's 11 classes hold traffic lights in SignSymbol, the bicycle with its rider in Bicyclist, and lorries and buses
in Car."""
CAMVID_32_MERGED = (frozenset({12, 18}),)

IDD_LITE_GROUPS: tuple[frozenset[int], ...] = tuple(
    map(frozenset, ({0}, {1, 9}, {11, 12}, range(13, 19), range(3, 8), {2, 8}, {10}))
)
"""IDD-lite's ids 0 to 6 as groups of train ids: drivable, non-drivable (pavement and verge), living things (persons,
riders and animals), vehicles, roadside objects (walls, fences, poles, signs, lights), far objects (buildings and
vegetation), sky: level 1 of IDD's hierarchy of labels (Varma et al., WACV 2019)."""

CARLA_VERSIONS = {
    "0.8.x": "carla_0.9.0_to_0.9.9",
    "0.9.0 to 0.9.9": "carla_0.9.0_to_0.9.9",
    "0.9.10 to 0.9.13": "carla_0.9.10_to_0.9.13",
    "0.9.14 and later": "carla_0.9.14_and_later",
    "0.10.x": "carla_0.10_ue5",
}
"""Release range -> its table in label_maps.json. 0.8 wrote the same 13 tags as 0.9.0."""


@dataclass(frozen=True)
class LabelEncoding:
    """One way of writing classes into a label file. Two encodings are equal when their names are.

    `ids` and `colours` give the train id (255 = ignore) of a stored value or colour; either may be empty. `pick` takes
    a file's stored values to an (H, W) id array or an (H, W, 3) colour array, or raises ValueError saying what is
    wrong. `id_colours` are the colours that ids are shown in, by which the ids of a palette file are known. `absent`
    are train ids that the table names but no label file holds. `merged` are the groups of train ids that the data set
    cannot tell apart: predictions are to be scored with each group as one class.
    `own_car` is the share of the rows, at the bottom, that shows the car with the camera; they are ignored.
    """

    name: str
    description: Mapping[str, str] = field(compare=False)
    pick: Callable[[np.ndarray], np.ndarray] = field(compare=False, repr=False)
    ids: Mapping[int, int] = field(default_factory=dict, compare=False, repr=False)
    colours: Mapping[Colour, int] = field(default_factory=dict, compare=False, repr=False)
    id_colours: Mapping[int, Colour] = field(default_factory=dict, compare=False, repr=False)
    absent: frozenset[int] = field(default=frozenset(), compare=False, repr=False)
    merged: tuple[frozenset[int], ...] = field(default=(), compare=False, repr=False)
    own_car: float = field(default=0.0, compare=False, repr=False)

    @property
    def train_ids(self) -> frozenset[int]:
        """The classes that label maps of this encoding can show."""
        return frozenset({*self.ids.values(), *self.colours.values()} - {IGNORE} - self.absent)

    def decode(self, path: Path) -> np.ndarray:
        """Label file -> uint8 (H, W) train ids, 255 = ignore.

        Raises:
            ImageError: The file cannot be read, is of another form, or holds ids or colours that the table does not.
        """
        return self.to_train_ids(self.stored(path), path)

    def stored(self, path: Path) -> np.ndarray:
        """Label file -> its ids (H, W) or colours (H, W, 3), not yet looked up; ImageError as `decode`."""
        values, palette = read_raw_and_palette(path)
        try:
            return self.pick(values if palette is None else self._without_palette(values, palette))
        except ValueError as error:
            of_palette = "" if palette is None else "; a palette's indices may be in any order, so its colours decide"
            raise image_error(path, f"{error} (read as {self.name}{of_palette})") from error

    def to_train_ids(self, stored: np.ndarray, path: Path) -> np.ndarray:
        """What `stored` returned -> uint8 (H, W) train ids; ImageError naming `path` if a value is unknown."""
        try:
            label_map = self._from_colours(stored) if stored.ndim == 3 else self._from_ids(stored)
        except ValueError as error:
            raise image_error(path, f"{error} (read as {self.name})") from error
        label_map[round(label_map.shape[0] * (1 - self.own_car)) :] = IGNORE
        return label_map

    def merging(self, groups: Groups) -> "LabelEncoding":
        """The same files, read with each class of a group as the group's lowest; itself where that changes nothing.

        Args:
            groups: Train ids of each group; no class is in two.

        Raises:
            ValueError: A class is in two groups, or twice in one.
        """
        lowest = lowest_ids(groups)
        tables = (self.ids, self.colours)
        ids, colours = ({value: lowest[train_id] for value, train_id in table.items()} for table in tables)
        if (ids, colours) == tables:
            return self
        merged = _as_text(groups)
        own = tuple(frozenset(lowest[train_id] for train_id in group) for group in self.merged)
        return replace(
            self,
            name=f"{self.name}_merging_{merged.replace(' ', '_')}",
            description={**self.description, "merging": merged},
            ids=ids,
            colours=colours,
            absent=frozenset({*ids.values(), *colours.values()} - {lowest[train_id] for train_id in self.train_ids}),
            merged=tuple(map(frozenset, joined_groups((*groups, *own)))),
        )

    def to_json(self) -> dict[str, str]:
        """What `from_json` needs to find this encoding again."""
        return dict(self.description)

    @staticmethod
    def from_json(description: Mapping[str, Any]) -> "LabelEncoding":
        """The encoding that `to_json` described; UserError, listing the valid ones, for any other description."""
        options = dict(description)
        if not all(isinstance(value, str) for value in options.values()):
            raise UserError(f"Label encoding {options}: every value must be text")
        groups = _as_groups(options.pop("merging", ""), description)
        reader = options.pop("reader", "")
        if reader not in ENCODINGS:
            raise UserError(f"Label encoding {dict(description)}: reader must be one of {', '.join(ENCODINGS)}")
        try:
            return ENCODINGS[reader](**options).merging(groups)
        except (TypeError, ValueError) as error:
            raise UserError(f"Label encoding {dict(description)}: {error}") from error

    def _without_palette(self, values: np.ndarray, palette: np.ndarray) -> np.ndarray:
        """Indices (H, W) into a palette of (entries, 3) colours -> ids (H, W) or colours (H, W, 3).

        Raises:
            ValueError: The colours do not tell the ids.
        """
        if self._is_own(palette):
            return values
        used = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
        if used[-1] >= len(palette):
            raise ValueError(f"holds index {used[-1]} of a palette of {len(palette)} colours")
        if not self.id_colours and self.colours:
            return palette[values]
        if not self.id_colours:
            return _levels(palette, used)[values]
        shown = {index: tuple(palette[index].tolist()) for index in used.tolist()}
        table = np.zeros(256, np.uint8)
        table[list(shown)] = self._ids_by_colour(shown, palette)
        return table[values]

    def _is_own(self, palette: np.ndarray) -> bool:
        """Whether a palette shows every id in its colour: as published, so that no pixel need be looked at."""
        if not self.id_colours or len(palette) <= max(self.id_colours):
            return False
        return np.array_equal(palette[list(self.id_colours)], list(self.id_colours.values()))

    def _ids_by_colour(self, shown: Mapping[int, Colour], palette: np.ndarray) -> list[int]:
        """The ids of a palette's indices, whose colours are `shown`: in order, as their colours or levels tell."""
        if self._in_order(shown):
            return list(shown)
        # Where colours are shared, the id that counts comes last and stays: pole and pole group are both a pole.
        counting_last = sorted(self.id_colours, key=lambda number: self.ids[number] != IGNORE)
        by_colour = {self.id_colours[number]: number for number in counting_last}
        readings = []
        if (palette == palette[:, :1]).all():  # ids that were grey
            readings.append([red for red, _, _ in shown.values()])
        is_ramp = len(palette) > 1 and (palette == np.arange(len(palette))[:, None]).all()
        if not is_ramp and all(colour in by_colour for colour in shown.values()):
            readings.append([by_colour[colour] for colour in shown.values()])
        if self.pick is _red_channel and all(green == blue == 0 for _, green, blue in shown.values()):
            readings.append([red for red, _, _ in shown.values()])
        if not readings:
            raise _unknown_colours(list(shown.values()), by_colour)
        if any(reading != readings[0] for reading in readings):
            raise ValueError(
                "has a palette whose colours can be classes and, as levels of grey, ids; save the ids as 8-bit grey"
            )
        return readings[0]

    def _in_order(self, shown: Mapping[int, Colour]) -> bool:
        """Whether indices are the ids of their colours. Where some classes are, ignored ids may have other colours."""
        strange = {index for index, colour in shown.items() if self.id_colours.get(index) != colour}
        if not strange:
            return True
        counting = {colour for number, colour in self.id_colours.items() if self.ids[number] != IGNORE}
        at_home = any(shown[index] in counting for index in shown.keys() - strange)
        return at_home and all(self.ids.get(index) == IGNORE and shown[index] not in counting for index in strange)

    def _from_ids(self, values: np.ndarray) -> np.ndarray:
        table = np.full(256, UNKNOWN, np.int16)
        table[list(self.ids)] = list(self.ids.values())
        label_map = table[values] if values.dtype == np.uint8 else _looked_up_wide(table, values)
        if (label_map == UNKNOWN).any():
            raise _unknown("ids", [str(value) for value in np.unique(values[label_map == UNKNOWN])])
        return label_map.astype(np.uint8)

    def _from_colours(self, values: np.ndarray) -> np.ndarray:
        known = {packed(np.array(rgb)).item(): train_id for rgb, train_id in self.colours.items()}
        keys = np.array(sorted(known), np.int32)
        train_ids = np.array([known[key] for key in keys], np.uint8)
        pixels = packed(values)
        place = np.searchsorted(keys, pixels).clip(max=len(keys) - 1)
        strange = keys[place] != pixels
        if strange.any():
            found = [(c >> 16, c >> 8 & 255, c & 255) for c in np.unique(pixels).tolist()]
            raise _unknown_colours(found, self.colours)
        return train_ids[place]


def _levels(palette: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The ids (entries,) of a palette's entries where nobody shows ids in colours: it can but hold ids that were grey.

    Raises:
        ValueError: Entries that are `used` are no grey, or two are the same: what they stand for cannot be told.
    """
    shown = palette[used]
    if (shown != shown[:, :1]).any() or len(np.unique(shown[:, 0])) < len(used):
        raise ValueError("has a palette that tells no ids; expected the ids themselves, without a palette")
    return palette[:, 0]


def _as_text(groups: Groups) -> str:
    """Groups as a description holds them: "1+9 11+12"."""
    return " ".join("+".join(map(str, group)) for group in sorted(map(sorted, groups)))


def _as_groups(text: str, description: Mapping[str, Any]) -> Groups:
    """What `_as_text` wrote; UserError for anything else."""
    if not re.fullmatch(r"(\d{1,3}(\+\d{1,3})*( |$))*", text):
        raise UserError(f"Label encoding {dict(description)}: merging must be groups of train ids, as in '1+9 11+12'")
    groups = [[int(number) for number in group.split("+")] for group in text.split()]
    if any(number >= len(PALETTE) for group in groups for number in group):
        raise UserError(f"Label encoding {dict(description)}: merging names train ids above {len(PALETTE) - 1}")
    return groups


def _looked_up_wide(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """16-bit values above 255 are in no table."""
    return np.where(values < 256, table[np.minimum(values, 255)], np.int16(UNKNOWN))


def packed(colours: np.ndarray) -> np.ndarray:
    """(..., 3) colours -> one number each, red highest."""
    wide = colours.astype(np.int32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _unknown(what: str, values: list[str]) -> ValueError:
    return ValueError(f"holds unknown {what} {_listed(values)}: not in the table of this encoding")


def _listed(values: list[str]) -> str:
    return ", ".join(values[:8]) + (f" and {len(values) - 8} more" if len(values) > 8 else "")


SWAPPED = "red and blue are swapped (BGR); save the file with its channels in the order red, green, blue"


def _unknown_colours(found: list[Colour], known: Mapping[Colour, int]) -> ValueError:
    """What is wrong with a file of the colours `found`, of which not all are known."""
    strange = [f"({r},{g},{b})" for r, g, b in found if (r, g, b) not in known]
    if all((b, g, r) in known for r, g, b in found):
        return ValueError(f"holds unknown colours {_listed(strange)}: {SWAPPED}")
    return _unknown("colours", strange)


# --- where the classes are in the stored values ----------------------------------------------------


def _single_channel(values: np.ndarray) -> np.ndarray:
    if values.ndim != 2:
        raise ValueError(f"has {values.shape[2]} channels, expected one channel of ids")
    return values


def _red_channel(values: np.ndarray) -> np.ndarray:
    """The simulator's raw image, or a single channel that someone took out of it."""
    if values.ndim == 2:
        return values
    if _blue_alone(values):
        raise ValueError(f"holds its tags in the blue channel: {SWAPPED}")
    return values[..., 0]


def _blue_alone(values: np.ndarray) -> bool:
    """Whether the first of three or four channels is empty and the third is not."""
    return values.shape[2] >= 3 and not values[..., 0].any() and bool(values[..., 2].any())


def _colour_channels(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2 or values.shape[2] < 3 or values.dtype != np.uint8:
        raise ValueError("has no 8-bit RGB or RGBA colours, which this encoding is made of")
    return values[..., :3]


def _ids_or_colours(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 2 else _colour_channels(values)


def _first_of_16_bit(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2 or values.shape[2] < 3 or values.dtype != np.uint16:
        form = f"{values.dtype.itemsize * 8}-bit, {1 if values.ndim == 2 else values.shape[2]} channel(s)"
        raise ValueError(f"is {form}, expected the original GT/LABELS file: 16-bit, 3 channels")
    if _blue_alone(values):
        raise ValueError(f"holds its classes in the third channel: {SWAPPED}")
    return values[..., 0]


# --- the tables ------------------------------------------------------------------------------------


@lru_cache
def label_maps() -> dict[str, dict]:
    """All tables of `pipelines/data/label_maps.json`, by name."""
    return json.loads((Path(__file__).parents[1] / "label_maps.json").read_text())


def _ids(table: str) -> dict[int, int]:
    """Stored id -> train id. Cityscapes' id -1 is never written to a file."""
    entries = label_maps()[table]["ids"]
    return {int(value): entry["train_id"] for value, entry in entries.items() if int(value) >= 0}


def _id_colours(table: str) -> dict[int, Colour]:
    """Stored id -> the colour that its publishers show it in."""
    entries = label_maps()[table]["ids"]
    return {int(value): tuple(entry["rgb"]) for value, entry in entries.items() if int(value) >= 0}


def _colours(table: str) -> dict[Colour, int]:
    """Colour -> train id. Where a class that counts shares its colour with an ignored one, it has the colour."""
    entries = label_maps()[table]["ids"].values()
    ordered = sorted(entries, key=lambda entry: entry["train_id"], reverse=True)
    return {tuple(entry["rgb"]): entry["train_id"] for entry in ordered}


@lru_cache
def cityscapes(encoding: str = "labelIds") -> LabelEncoding:
    """Cityscapes: "labelIds" (0 to 33) or "labelTrainIds" (0 to 18, and 255)."""
    _one_of("encoding", encoding, ("labelIds", "labelTrainIds"))
    if encoding == "labelIds":
        ids, id_colours = _ids("cityscapes"), _id_colours("cityscapes")
    else:
        ids = {train_id: train_id for train_id in (*range(19), IGNORE)}
        id_colours = {**dict(enumerate(PALETTE)), IGNORE: (0, 0, 0)}
    description = {"reader": "cityscapes", "encoding": encoding}
    return LabelEncoding(f"cityscapes_{encoding}", description, _single_channel, ids, id_colours=id_colours)


@lru_cache
def gta5() -> LabelEncoding:
    """GTA5: the palette index is the id. A file re-saved as RGB, or with another palette, is read by its colours.

    In such a file pole groups cannot be told from poles, nor number plates from cars; they count as poles and cars.
    """
    ids, colours, id_colours = _ids("gta5"), _colours("gta5"), _id_colours("gta5")
    return LabelEncoding("gta5", {"reader": "gta5"}, _ids_or_colours, ids, colours, id_colours)


@lru_cache
def synthia(lane_marking: str = "road") -> LabelEncoding:
    """SYNTHIA-RAND-CITYSCAPES; lane markings count as "road", as in Cityscapes, or "ignore", as in most papers."""
    _one_of("lane_marking", lane_marking, ("road", "ignore"))
    ids = _ids("synthia_rand_cityscapes")
    ids[22] = 0 if lane_marking == "road" else IGNORE
    absent = frozenset(range(19)) - frozenset(label_maps()["synthia_rand_cityscapes"]["train_ids_16"])
    description = {"reader": "synthia", "lane_marking": lane_marking}
    return LabelEncoding(f"synthia_lane_marking_{lane_marking}", description, _first_of_16_bit, ids, absent=absent)


@lru_cache
def carla(version: str, encoding: str = "raw", own_car: str = "0.0") -> LabelEncoding:
    """CARLA, as release `version` wrote it: "raw" (tag in the red channel, or alone) or its CityScapes "palette".

    CARLA tags the bonnet of the own car as a vehicle; Cityscapes ignores it. `own_car` is the share of the rows, from
    the bottom, to ignore.
    """
    _one_of("encoding", encoding, ("raw", "palette"))
    table = carla_table(version)
    description = {"reader": "carla", "encoding": encoding, "version": version, "own_car": own_car}
    share = float(own_car)
    if not 0 <= share < 1:
        raise ValueError(f"own_car is {own_car}; expected a share of the rows, from 0 to below 1")
    name = table.replace("carla", f"carla_{encoding}") + (f"_own_car_{share:g}" if share else "")
    if encoding == "raw":
        ids, id_colours = _ids(table), _id_colours(table)
        return LabelEncoding(name, description, _red_channel, ids, id_colours=id_colours, own_car=share)
    return LabelEncoding(name, description, _colour_channels, colours=_colours(table), own_car=share)


@lru_cache
def camvid(encoding: str = "11", order: str = "segnet") -> LabelEncoding:
    """CamVid: "11" classes as ids in the order "segnet" (sky first) or "building_first", or its "32" colours."""
    _one_of("encoding", encoding, ("11", "32"))
    _one_of("order", order, ("segnet", "building_first"))
    if encoding == "32":
        description = {"reader": "camvid", "encoding": "32"}
        colours = _colours("camvid32")
        return LabelEncoding("camvid32", description, _colour_channels, colours=colours, merged=CAMVID_32_MERGED)
    table = f"camvid11_{order}_order"
    description = {"reader": "camvid", "encoding": "11", "order": order}
    return LabelEncoding(
        f"camvid11_{order}", description, _single_channel, _ids(table), id_colours=_id_colours(table),
        merged=CAMVID_11_MERGED,
    )  # fmt: skip


@lru_cache
def idd_lite() -> LabelEncoding:
    """IDD-lite's seven ids, each a group of classes that counts as its lowest train id; 255 is ignored."""
    ids = {number: min(group) for number, group in enumerate(IDD_LITE_GROUPS)} | {IGNORE: IGNORE}
    merged = tuple(group for group in IDD_LITE_GROUPS if len(group) > 1)
    return LabelEncoding("idd_lite7", {"reader": "idd_lite"}, _single_channel, ids, merged=merged)


ENCODINGS: dict[str, Callable[..., LabelEncoding]] = {
    "cityscapes": cityscapes,
    "gta5": gta5,
    "synthia": synthia,
    "carla": carla,
    "camvid": camvid,
    "idd_lite": idd_lite,
}
"""Data set -> its encodings; the keyword arguments are what `LabelEncoding.to_json` holds beside "reader"."""


def carla_table(version: str) -> str:
    """Name of the table that CARLA release `version` ("0.9.12", "0.9.14-dirty" for a build of one's own) wrote.

    Raises:
        UserError: There is no such release; the valid ones are listed.
    """
    numbers = re.fullmatch(r"v?0\.(\d+)(?:\.(\d+))?(?:\.\d+)?(?:[-+_ a-z].*)?", version.strip())
    minor, patch = (int(number or -1) for number in numbers.groups()) if numbers else (-1, -1)
    if minor == 8:
        return CARLA_VERSIONS["0.8.x"]
    if minor == 10:
        return CARLA_VERSIONS["0.10.x"]
    if minor == 9 and patch >= 0:
        group = "0.9.0 to 0.9.9" if patch <= 9 else "0.9.10 to 0.9.13" if patch <= 13 else "0.9.14 and later"
        return CARLA_VERSIONS[group]
    raise UserError(f"CARLA version {version!r} is unknown; valid versions: {', '.join(CARLA_VERSIONS)}")


def _one_of(setting: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UserError(f"{setting} = {value!r} is unknown; valid values: {', '.join(valid)}")
