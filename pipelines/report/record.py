"""What every table that we print stands on: the command, the machine, the versions, the date, the settings."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from pipelines.report import markdown

SHOWN = 5
"""Frames of a set that are named in a sentence; a record's JSON has all."""


@dataclass(frozen=True)
class Record:
    """Where numbers come from; a subclass adds the numbers. `settings` is the resolved config, or several by name.

    `interval_over` says what intervals were drawn over: "26 drives".
    """

    name: str
    command: str
    date: str
    machine: str
    versions: dict[str, str]
    validation: str
    settings: dict[str, Any]
    unusable: dict[str, dict[str, str]] = field(default_factory=dict, kw_only=True)
    """Frames that could not be used and were left out, with what is wrong, by data set and name."""
    interval_over: str = field(default="frames", kw_only=True)

    def to_json(self) -> str:
        """The record as indented ASCII JSON; NaN and infinities become null."""
        return json.dumps(plain(asdict(self)), indent=1, allow_nan=False) + "\n"

    def origin(self) -> str:
        """Markdown: a sentence to stand below a table, and another one where frames were left out."""
        said = f"Command: {markdown.code(self.command)}; machine: {markdown.escaped(self.machine)}; date: {self.date}."
        return f"{said} {markdown.escaped(self.unusable_in_words())}" if self.unusable else said

    def unusable_in_words(self) -> str:
        """How many frames of which sets were left out, and the first of them, as a sentence."""
        return unusable_in_words(self.unusable)


def unusable_in_words(unusable: Mapping[str, Mapping[str, str]]) -> str:
    """How many frames of which sets were left out, and the first of them, as a sentence."""
    told = []
    for name, troubles in unusable.items():
        shown = ", ".join(list(troubles)[:SHOWN]) + (", …" if len(troubles) > SHOWN else "")
        told.append(f"{len(troubles)} of {name} ({shown})")
    return f"Frames left out because they cannot be used: {'; '.join(told)}."


def plain(value: Any) -> Any:
    """The value as JSON can hold it: NumPy scalars unpacked, NaN as None, broken Unicode mended, else text."""
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int)):
        return value
    return str(value).encode("utf-8", "replace").decode("utf-8")
