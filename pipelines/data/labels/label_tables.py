"""The tables of `label_maps.json`, each with its sources: what each data set's ids and colours stand for.

Which of CARLA's tables a release wrote is told by its number.
"""

import json
import re
from functools import lru_cache
from pathlib import Path

from pipelines.errors import UserError

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

CARLA_VERSIONS = {
    "0.8.x": "carla_0.9.0_to_0.9.9",
    "0.9.0 to 0.9.9": "carla_0.9.0_to_0.9.9",
    "0.9.10 to 0.9.13": "carla_0.9.10_to_0.9.13",
    "0.9.14 and later": "carla_0.9.14_and_later",
    "0.10.x": "carla_0.10_ue5",
}
"""Release range -> its table in label_maps.json. 0.8 wrote the same 13 tags as 0.9.0."""


@lru_cache
def label_maps() -> dict[str, dict]:
    """All tables of `pipelines/data/label_maps.json`, by name."""
    return json.loads((Path(__file__).parents[1] / "label_maps.json").read_text())


def train_ids_of(table: str) -> dict[int, int]:
    """Stored id -> train id. Cityscapes' id -1 is never written to a file."""
    entries = label_maps()[table]["ids"]
    return {int(value): entry["train_id"] for value, entry in entries.items() if int(value) >= 0}


def colours_of_ids(table: str) -> dict[int, Colour]:
    """Stored id -> the colour that its publishers show it in."""
    entries = label_maps()[table]["ids"]
    return {int(value): tuple(entry["rgb"]) for value, entry in entries.items() if int(value) >= 0}


def train_ids_of_colours(table: str) -> dict[Colour, int]:
    """Colour -> train id. Where a class that counts shares its colour with an ignored one, it has the colour."""
    entries = label_maps()[table]["ids"].values()
    ordered = sorted(entries, key=lambda entry: entry["train_id"], reverse=True)
    return {tuple(entry["rgb"]): entry["train_id"] for entry in ordered}


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
