"""What a config or a command chooses by name: networks, losses, schedules, each a dict, and the ways of translating.

One wording answers a name that is none. Free of torch: settings and options are read without waiting for it.
"""

from collections.abc import Mapping
from typing import Literal, TypeVar

Direction = Literal["source_to_target", "target_to_source"]
"""The ways that frames are translated."""

SIDE_MULTIPLES = {"resnet6": 4, "resnet9": 4, "unet_light": 8, "pyramid": 8, "unet128": 128, "unet256": 256}
"""`side_multiple` of each generator, known before it is built; crops must divide by it."""

Choice = TypeVar("Choice")


def chosen(choices: Mapping[str, Choice], name: str, kind: str = "network") -> Choice:
    """The choice called `name`; ValueError with the valid names otherwise."""
    if name not in choices:
        raise ValueError(f"There is no {kind} {name!r}; the valid names are {', '.join(sorted(choices))}.")
    return choices[name]


def check_antialias(antialias: bool, generator: str) -> None:
    """ValueError where a generator is to blur that cannot."""
    if antialias and not generator.startswith("resnet"):
        raise ValueError(f"antialias is for resnet6 and resnet9; the generator is {generator}. Set antialias to false")


def check_divides(generator: str, width: int, height: int) -> None:
    """ValueError unless both sides of a crop divide by what the generator takes."""
    multiple = SIDE_MULTIPLES[generator]
    for side in (width, height):
        if side % multiple:
            raise ValueError(f"crop is {side}; {generator} takes multiples of {multiple}")
