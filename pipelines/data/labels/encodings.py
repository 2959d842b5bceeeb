"""How each data set writes classes into its label files, and the way from there to the 19 Cityscapes train ids.

A value that a table does not hold is refused with the file's name: a wrong table shows itself at once instead of as a
low score a week later.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.images import image_error, read_raw_and_palette
from pipelines.data.labels.label_tables import (
    Colour,
    carla_table,
    colours_of_ids,
    label_maps,
    train_ids_of,
    train_ids_of_colours,
)
from pipelines.data.labels.palettes import ShownClasses
from pipelines.data.labels.stored_values import (
    colour_channels,
    first_of_16_bit,
    ids_or_colours,
    packed,
    red_channel,
    single_channel,
    unknown,
    unknown_colours,
)
from pipelines.errors import UserError
from segment.class_groups import Groups, joined_groups, lowest_ids
from segment.classes import IGNORE_INDEX, PALETTE

IGNORE = IGNORE_INDEX
UNKNOWN = -1

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
        shown = ShownClasses(self.ids, self.colours, self.id_colours, self.pick is red_channel)
        try:
            return self.pick(values if palette is None else shown.without_palette(values, palette))
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

    def _from_ids(self, values: np.ndarray) -> np.ndarray:
        table = np.full(256, UNKNOWN, np.int16)
        table[list(self.ids)] = list(self.ids.values())
        label_map = table[values] if values.dtype == np.uint8 else _looked_up_wide(table, values)
        if (label_map == UNKNOWN).any():
            raise unknown("ids", [str(value) for value in np.unique(values[label_map == UNKNOWN])])
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
            raise unknown_colours(found, self.colours)
        return train_ids[place]


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


@lru_cache
def cityscapes(encoding: str = "labelIds") -> LabelEncoding:
    """Cityscapes: "labelIds" (0 to 33) or "labelTrainIds" (0 to 18, and 255)."""
    _one_of("encoding", encoding, ("labelIds", "labelTrainIds"))
    if encoding == "labelIds":
        ids, id_colours = train_ids_of("cityscapes"), colours_of_ids("cityscapes")
    else:
        ids = {train_id: train_id for train_id in (*range(19), IGNORE)}
        id_colours = {**dict(enumerate(PALETTE)), IGNORE: (0, 0, 0)}
    description = {"reader": "cityscapes", "encoding": encoding}
    return LabelEncoding(f"cityscapes_{encoding}", description, single_channel, ids, id_colours=id_colours)


@lru_cache
def gta5() -> LabelEncoding:
    """GTA5: the palette index is the id. A file re-saved as RGB, or with another palette, is read by its colours.

    In such a file pole groups cannot be told from poles, nor number plates from cars; they count as poles and cars.
    """
    ids, colours, id_colours = train_ids_of("gta5"), train_ids_of_colours("gta5"), colours_of_ids("gta5")
    return LabelEncoding("gta5", {"reader": "gta5"}, ids_or_colours, ids, colours, id_colours)


@lru_cache
def synthia(lane_marking: str = "road") -> LabelEncoding:
    """SYNTHIA-RAND-CITYSCAPES; lane markings count as "road", as in Cityscapes, or "ignore", as in most papers."""
    _one_of("lane_marking", lane_marking, ("road", "ignore"))
    ids = train_ids_of("synthia_rand_cityscapes")
    ids[22] = 0 if lane_marking == "road" else IGNORE
    absent = frozenset(range(19)) - frozenset(label_maps()["synthia_rand_cityscapes"]["train_ids_16"])
    description = {"reader": "synthia", "lane_marking": lane_marking}
    return LabelEncoding(f"synthia_lane_marking_{lane_marking}", description, first_of_16_bit, ids, absent=absent)


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
        ids, id_colours = train_ids_of(table), colours_of_ids(table)
        return LabelEncoding(name, description, red_channel, ids, id_colours=id_colours, own_car=share)
    return LabelEncoding(name, description, colour_channels, colours=train_ids_of_colours(table), own_car=share)


@lru_cache
def camvid(encoding: str = "11", order: str = "segnet") -> LabelEncoding:
    """CamVid: "11" classes as ids in the order "segnet" (sky first) or "building_first", or its "32" colours."""
    _one_of("encoding", encoding, ("11", "32"))
    _one_of("order", order, ("segnet", "building_first"))
    if encoding == "32":
        description = {"reader": "camvid", "encoding": "32"}
        colours = train_ids_of_colours("camvid32")
        return LabelEncoding("camvid32", description, colour_channels, colours=colours, merged=CAMVID_32_MERGED)
    table = f"camvid11_{order}_order"
    description = {"reader": "camvid", "encoding": "11", "order": order}
    return LabelEncoding(
        f"camvid11_{order}", description, single_channel, train_ids_of(table), id_colours=colours_of_ids(table),
        merged=CAMVID_11_MERGED,
    )  # fmt: skip


@lru_cache
def idd_lite() -> LabelEncoding:
    """IDD-lite's seven ids, each a group of classes that counts as its lowest train id; 255 is ignored."""
    ids = {number: min(group) for number, group in enumerate(IDD_LITE_GROUPS)} | {IGNORE: IGNORE}
    merged = tuple(group for group in IDD_LITE_GROUPS if len(group) > 1)
    return LabelEncoding("idd_lite7", {"reader": "idd_lite"}, single_channel, ids, merged=merged)


ENCODINGS: dict[str, Callable[..., LabelEncoding]] = {
    "cityscapes": cityscapes,
    "gta5": gta5,
    "synthia": synthia,
    "carla": carla,
    "camvid": camvid,
    "idd_lite": idd_lite,
}
"""Data set -> its encodings; the keyword arguments are what `LabelEncoding.to_json` holds beside "reader"."""


def _one_of(setting: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise UserError(f"{setting} = {value!r} is unknown; valid values: {', '.join(valid)}")
