"""The folder of a translated set: whose it is, who may write to it, and what a killed run left in it.

A folder holds one translation. `translation.json` says of which checkpoint and how, and is written before the first
frame: frames of two checkpoints in one folder would spoil a training set, and no score would say so.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from pipelines.data.files import storage_errors, write_atomically
from pipelines.data.manifest import JOURNAL, Journal
from pipelines.errors import UserError

PLAN = "translation.json"
PART = re.compile(r"\..+\.\d+\.part", re.DOTALL)
"""Names of files that are being written."""
WAY_OUT = "Choose another --output, or set the old translation aside with --restart"


class ForeignTranslationError(UserError):
    """The folder holds a translation of another checkpoint, other settings or another input."""


@contextlib.contextmanager
def claimed(output: Path, plan: dict[str, JsonValue]) -> Iterator[Journal]:
    """Make the folder ours until the end of the block: locked, swept of half-written files, with `plan` in it.

    Args:
        output: Made if missing; else it must be empty (hidden files aside) or hold a translation of the same plan.
        plan: What decides the result, as JSON.

    Raises:
        UserError: The folder holds something else, or another process is writing to it.
        StorageError: The disk refuses.
    """
    plan = json.loads(json.dumps(plan))  # as it will be read back: tuples become lists
    _refuse_foreign(output, plan)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with Journal(output / JOURNAL) as journal:
        _refuse_foreign(output, plan)  # again: someone may have been quicker
        if not (output / PLAN).exists():
            write_atomically(output / PLAN, json.dumps(plan, indent=2, sort_keys=True).encode() + b"\n")
        _remove_parts(output)
        yield journal


def _refuse_foreign(output: Path, plan: Mapping[str, JsonValue]) -> None:
    if not (output / PLAN).exists():
        if output.exists() and (not output.is_dir() or any(path.name[0] != "." for path in output.iterdir())):
            raise UserError(f"{output}: exists and is no translation (it has no {PLAN}); choose another --output")
        return
    try:
        found = json.loads((output / PLAN).read_bytes())
        changed = sorted(key for key in found.keys() | plan.keys() if found.get(key) != plan.get(key))
    except (OSError, ValueError, AttributeError) as error:
        raise ForeignTranslationError(f"{output / PLAN}: damaged ({error}). {WAY_OUT}") from error
    if changed:
        differences = ", ".join(f"{key} was {found.get(key)!r} and is {plan.get(key)!r}" for key in changed)
        raise ForeignTranslationError(f"{output}: holds another translation: {differences}. {WAY_OUT}")


def _remove_parts(output: Path) -> None:
    """Sweep up what killed runs were writing. The folder is locked: no living one writes here."""
    with storage_errors(output):
        for folder, _, names in os.walk(output):
            for name in names:
                if PART.fullmatch(name):
                    os.unlink(os.path.join(folder, name))


def set_translation_aside(output: Path) -> None:
    """Rename a translation to NAME.replaced-K, the first K that is free. What is no translation stays.

    Raises:
        UserError: Another process is writing to it.
        StorageError: The disk refuses.
    """
    if not (output / PLAN).exists():
        return
    number, place = 1, Path(os.path.abspath(output))
    while os.path.lexists(aside := place.with_name(f"{place.name}.replaced-{number}")):
        number += 1
    with Journal(output / JOURNAL) as journal, storage_errors(output):  # refused while another process is at work there
        if not journal.entries:
            journal.path.unlink()
        place.rename(aside)
