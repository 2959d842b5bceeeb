"""The folder of a translated set: whose it is, who may write to it, and what a killed run left in it.

A folder holds one translation. `translation.json` says of which checkpoint and how, and is written before the first
frame: frames of two checkpoints in one folder would spoil a training set, and no score would say so.
"""

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from pydantic import JsonValue

from pipelines.data.files import storage_errors, write_atomically
from pipelines.data.manifest import JOURNAL, Journal
from pipelines.errors import UserError

PLAN = "translation.json"
PART = re.compile(r"\..+\.\d+\.part", re.DOTALL)
"""Names of files that are being written."""
PATIENCE_S = 10.0
"""How long a part waits for a process that has the folder to itself: joining parts takes a moment, a run hours."""
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
        _prepare(output, plan)
        yield journal


@contextlib.contextmanager
def shared(output: Path, plan: dict[str, JsonValue], journal: str) -> Iterator[Journal]:
    """As `claimed`, for one part of several: the others may be at work in the folder, a whole run may not.

    The parts hold the whole run's lock together, and each one its own journal's lock alone.
    """
    plan = json.loads(json.dumps(plan))
    _refuse_foreign(output, plan)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with _beside_others(output, plan), Journal(output / journal) as own:
        yield own


@contextlib.contextmanager
def _beside_others(output: Path, plan: dict[str, JsonValue]) -> Iterator[None]:
    path, until = output / JOURNAL, time.monotonic() + PATIENCE_S
    while True:
        with storage_errors(path):
            stream = open(path, "a+b")  # noqa: SIM115 (closed two lines below, whatever happens)
        with stream:
            if _locked(stream, fcntl.LOCK_EX):  # the first one here: nobody writes what is swept up
                _prepare(output, plan)
            if _locked(stream, fcntl.LOCK_SH) and _is_still(path, stream) and (output / PLAN).exists():
                _refuse_foreign(output, plan)
                yield
                return
        if time.monotonic() > until:
            raise UserError(f"{output}: another process is translating into it; choose another --output")
        time.sleep(0.05)


def _locked(stream: BinaryIO, kind: int) -> bool:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(path: Path, stream: BinaryIO) -> bool:
    """Whether `path` names the open file yet: whoever joins the parts removes it."""
    return path.exists() and os.path.samestat(path.stat(), os.fstat(stream.fileno()))


def _prepare(output: Path, plan: dict[str, JsonValue]) -> None:
    _refuse_foreign(output, plan)  # again: someone may have been quicker
    if not (output / PLAN).exists():
        write_atomically(output / PLAN, json.dumps(plan, indent=2, sort_keys=True).encode() + b"\n")
    remove_unfinished(output)


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


def remove_unfinished(output: Path) -> None:
    """Sweep up what killed runs were writing. The folder is locked: no living one writes here."""
    with storage_errors(output):
        for folder, _, names in os.walk(output):
            for name in names:
                if PART.fullmatch(name):
                    os.unlink(os.path.join(folder, name))


def plan_number(output: Path) -> int | None:
    """What tells one translation's plan from the next one's under the same name; None where there is none."""
    try:
        return (output / PLAN).stat().st_ino
    except OSError:
        return None


def set_translation_aside(output: Path, number: int | None) -> None:
    """Rename a translation to NAME.replaced-K, the first K that is free. What is no translation stays.

    Args:
        output: Its folder.
        number: The `plan_number` of the translation meant; another part may have set it aside already.

    Raises:
        UserError: Another process is writing to it.
        StorageError: The disk refuses.
    """
    if number is None or plan_number(output) != number:
        return
    with Journal(output / JOURNAL) as journal, storage_errors(output):  # refused while another process is at work there
        if plan_number(output) != number:
            return
        if not journal.entries:
            journal.path.unlink()
        count, place = 1, Path(os.path.abspath(output))
        while os.path.lexists(aside := place.with_name(f"{place.name}.replaced-{count}")):
            count += 1
        place.rename(aside)
