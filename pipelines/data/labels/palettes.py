"""What a palette file holds, told by its colours.

Image tools drop, add and re-order a palette's entries, and every index is then a valid wrong one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.data.labels.label_tables import Colour
from pipelines.data.labels.stored_values import unknown_colours
from segment.classes import IGNORE_INDEX


@dataclass(frozen=True)
class ShownClasses:
    """What a data set's ids and colours stand for, and how its ids are shown."""

    ids: Mapping[int, int]
    """Stored id -> train id."""
    colours: Mapping[Colour, int]
    """Colour -> train id, where classes may be stored as colours."""
    id_colours: Mapping[int, Colour]
    """Stored id -> the colour that its publishers show it in."""
    in_red: bool
    """Whether ids may be stored as colours without green and blue."""

    def without_palette(self, values: np.ndarray, palette: np.ndarray) -> np.ndarray:
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
        counting_last = sorted(self.id_colours, key=lambda number: self.ids[number] != IGNORE_INDEX)
        by_colour = {self.id_colours[number]: number for number in counting_last}
        readings = []
        if (palette == palette[:, :1]).all():  # ids that were grey
            readings.append([red for red, _, _ in shown.values()])
        is_ramp = len(palette) > 1 and (palette == np.arange(len(palette))[:, None]).all()
        if not is_ramp and all(colour in by_colour for colour in shown.values()):
            readings.append([by_colour[colour] for colour in shown.values()])
        if self.in_red and all(green == blue == 0 for _, green, blue in shown.values()):
            readings.append([red for red, _, _ in shown.values()])
        if not readings:
            raise unknown_colours(list(shown.values()), by_colour)
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
        counting = {colour for number, colour in self.id_colours.items() if self.ids[number] != IGNORE_INDEX}
        at_home = any(shown[index] in counting for index in shown.keys() - strange)
        return at_home and all(
            self.ids.get(index) == IGNORE_INDEX and shown[index] not in counting for index in strange
        )


def _levels(palette: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The ids (entries,) of a palette's entries where nobody shows ids in colours: it can but hold ids that were grey.

    Raises:
        ValueError: Entries that are `used` are no grey, or two are the same: what they stand for cannot be told.
    """
    shown = palette[used]
    if (shown != shown[:, :1]).any() or len(np.unique(shown[:, 0])) < len(used):
        raise ValueError("has a palette that tells no ids; expected the ids themselves, without a palette")
    return palette[:, 0]
