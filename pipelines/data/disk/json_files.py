"""JSON files of ours, whole or not there."""

import json
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import write_atomically
from pipelines.errors import UserError


def parse_json(data: bytes | str) -> Any:
    """What a text in JSON says.

    Raises:
        ValueError: It is none, or is nested deeper than Python follows.
    """
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people and programs, atomically."""
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file of ours.

    Raises:
        UserError: It is not there, or cannot be read as JSON.
    """
    try:
        return parse_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is not there; run the command that writes it again") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it and run the command again") from error
