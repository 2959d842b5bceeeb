"""Facades: what a point of a wall shows, by its metres from the corner and from the ground."""

import numpy as np
import pytest

from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.facade import facade_parts


def part(along, up, variant=0, length=10.0, height=12.0):
    """Material's name and variant of one point."""
    point = [np.array([value], float) for value in (along, up, length, height)]
    material, shown = facade_parts(*point, np.array([variant]))
    return Material(material[0]).name, int(shown[0])


@pytest.mark.parametrize(
    "along, up, expected",
    [
        (
            1.0,
            4.9,
            "WINDOW",
        ),  # five bays of 2 m; a window 0.42 m to either side, from 4.25 to 5.8 m
        (1.45, 4.9, "TRIM"),  # its frame reaches 0.53 m from the bay's middle
        (1.9, 4.9, "FACADE"),
        (1.0, 6.1, "FACADE"),  # between the floors
        (1.0, 11.9, "TRIM"),  # the cornice
        (1.0, 1.0, "DOOR"),  # every fourth bay
        (3.0, 1.0, "WINDOW"),  # of the shop
        (3.0, 0.3, "TRIM"),
        (3.95, 1.0, "TRIM"),
        (3.0, 2.8, "SHOP"),
    ],
)
def test_a_house_with_a_shop(along, up, expected):
    assert part(along, up)[0] == expected


def test_a_house_without_a_shop_has_windows_on_the_ground():
    # Variant 32 is style 2: bays of about 2.9 m, three in 9 m; windows from 1.0 to 2.55 m; a door in the third.
    assert [part(1.5, up, variant=32, length=9.0)[0] for up in (0.5, 1.5, 3.0)] == ["FACADE", "WINDOW", "FACADE"]
    assert part(7.5, 1.0, variant=32, length=9.0)[0] == "DOOR"


def test_every_window_has_a_variant_of_its_own():
    # Bay 2 of floor 1: 2 * 7 + 1 * 13 = 27; its neighbour to the left 20; the wall keeps the house's.
    assert part(5.0, 7.8) == ("WINDOW", 27) and part(3.0, 7.8) == ("WINDOW", 20)
    assert part(1.9, 4.9, variant=3) == ("FACADE", 3)


def test_a_facade_narrower_than_a_bay_has_one():
    assert part(0.4, 4.9, length=0.8)[0] == "WINDOW"
