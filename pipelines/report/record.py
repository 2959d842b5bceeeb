"""What every table that we print stands on: the command, the machine, the versions, the date, the settings."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Record:
    """Where numbers come from; a subclass adds the numbers. `settings` is the resolved config, or several by name."""

    name: str
    command: str
    date: str
    machine: str
    versions: dict[str, str]
    validation: str
    settings: dict[str, Any]

    def to_json(self) -> str:
        """The record as indented ASCII JSON; NaN and infinities become null."""
        return json.dumps(plain(asdict(self)), indent=1, allow_nan=False) + "\n"

    def origin(self) -> str:
        """A sentence to stand below a table."""
        return f"Command: `{self.command}`; machine: {self.machine}; date: {self.date}."


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
