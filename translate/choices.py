"""What a config or a command chooses by name: networks, losses, schedules, each a dict, and the ways of translating.

One wording answers a name that is none. Free of torch: settings and options are read without waiting for it.
"""

from collections.abc import Mapping
from typing import Literal, TypeVar

Direction = Literal["source_to_target", "target_to_source"]
"""The ways that frames are translated."""

Choice = TypeVar("Choice")


def chosen(choices: Mapping[str, Choice], name: str, kind: str = "network") -> Choice:
    """The choice called `name`; ValueError with the valid names otherwise."""
    if name not in choices:
        raise ValueError(f"There is no {kind} {name!r}; the valid names are {', '.join(sorted(choices))}.")
    return choices[name]
