"""What a config chooses by name: networks, losses, schedules, each a dict; and one wording for a name that is none."""

from collections.abc import Mapping
from typing import TypeVar

Choice = TypeVar("Choice")


def chosen(choices: Mapping[str, Choice], name: str, kind: str = "network") -> Choice:
    """The choice called `name`; ValueError with the valid names otherwise."""
    if name not in choices:
        raise ValueError(f"There is no {kind} {name!r}; the valid names are {', '.join(sorted(choices))}.")
    return choices[name]
