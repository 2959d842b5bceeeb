"""The folder of a translated set: whose it is, who may write to it, and what a killed run left in it.

A folder holds one translation. `translation.json` says of which checkpoint and how, and is written before the first
frame: frames of two checkpoints in one folder would spoil a training set, and no score would say so. The same holds for
predictions (`prediction.json`); the functions take the word for what the folder holds, which names its plan.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from pipelines.data.disk import ownership
from pipelines.data.disk.files import storage_errors, write_atomically
from pipelines.data.disk.manifest import JOURNAL, Journal
from pipelines.data.disk.ownership import (
    ANOTHER_PLACE,
    as_json,
    differing,
    in_words,
    is_still,
    locking,
    read_plan,
    sweep,
    try_lock,
)
from pipelines.errors import Interrupted, UserError

PLAN = "translation.json"
"""That of a translation, for those who look who made a set."""
POLL_S = 0.1
"""Between two looks whether a process that has the folder to itself is done."""
Result = TypeVar("Result")
WAY_OUT = f"Choose {ANOTHER_PLACE}, or set the old one aside with --restart"


class ForeignPlanError(UserError):
    """The folder holds what was made by another checkpoint, with other settings or from another input."""


@dataclass(frozen=True)
class Intent:
    """What a run would make in a folder, as far as a dry run knows.

    Attributes:
        what: The word for it.
        plan: What decides the result, as JSON.
        unknown: Keys of the plan that nothing is known of before the run: machine and network decide.
        restart: What another plan has made there would be set aside.
    """

    what: str
    plan: Mapping[str, JsonValue]
    unknown: Collection[str] = ()
    restart: bool = False


@contextlib.contextmanager
def claimed(output: Path, plan: dict[str, JsonValue], what: str) -> Iterator[Journal]:
    """Make the folder ours until the end of the block: locked, swept of half-written files, with `plan` in it.

    Args:
        output: Made if missing; else it must be empty (hidden files aside) or hold what the same plan makes.
        plan: What decides the result, as JSON.
        what: What the plan makes.

    Raises:
        UserError: The folder holds something else, or another process is writing to it.
        StorageError: The disk refuses.
    """
    plan = as_json(plan)
    _refuse_foreign(output, plan, what)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with Journal(output / JOURNAL) as journal:
        _prepare(output, plan, what)
        yield journal


@dataclass(frozen=True)
class Patience:
    """Who waits for a folder: is told so once, in a line, and is asked now and then whether to go on waiting."""

    say: Callable[[str], None] = lambda line: None
    stop_requested: Callable[[], bool] = lambda: False


@contextlib.contextmanager
def shared(
    output: Path, plan: dict[str, JsonValue], journal: str, what: str, patience: Patience | None = None
) -> Iterator[Journal]:
    """As `claimed`, for one part of several: the others may be at work in the folder.

    The parts hold the whole run's lock together, and each one its own journal's lock alone. A process that has the
    folder to itself is waited for: it joins what parts have done, which reads it all, or does the whole set.

    Raises:
        UserError, StorageError: As `claimed`; also, another process does this very part.
        Interrupted: A stop was requested while it waited.
    """
    plan = as_json(plan)
    _refuse_foreign(output, plan, what)
    with storage_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    with _beside_others(output, plan, what, patience or Patience()), Journal(output / journal) as own:
        yield own


@contextlib.contextmanager
def _beside_others(output: Path, plan: dict[str, JsonValue], what: str, patience: Patience) -> Iterator[None]:
    path, waiting = output / JOURNAL, False
    while True:
        with storage_errors(path):
            stream = open(path, "a+b")  # noqa: SIM115 (closed below, whatever happens)
        with stream:
            with locking(path):
                first = try_lock(stream)
            if first:  # nobody writes what is swept up
                _prepare(output, plan, what)
            with locking(path):
                let_in = try_lock(stream, together=True)
            if let_in and is_still(path, stream) and _plan_file(output, what).exists():
                _refuse_foreign(output, plan, what)
                yield
                return
        if patience.stop_requested():
            raise Interrupted(f"{output}: stopped while another process had it to itself; the same command carries on")
        if not waiting:
            patience.say(f"{output}: another process has it to itself; waiting until that is done")
            waiting = True
        time.sleep(POLL_S)


def _plan_file(output: Path, what: str) -> Path:
    return output / f"{what}.json"


def _prepare(output: Path, plan: dict[str, JsonValue], what: str) -> None:
    _refuse_foreign(output, plan, what)  # again: someone may have been quicker
    if not (place := _plan_file(output, what)).exists():
        write_atomically(place, json.dumps(plan, indent=2, sort_keys=True).encode() + b"\n")
    sweep(output)


def refuse_foreign(output: Path, intent: Intent) -> None:
    """Refuse what a run would refuse of a folder before it writes there.

    Raises:
        ForeignPlanError: It holds what another plan has made; `restart` is not looked at.
        UserError: It holds something else.
    """
    _refuse_foreign(output, as_json(dict(intent.plan)), intent.what, intent.unknown)


def _refuse_foreign(output: Path, plan: Mapping[str, JsonValue], what: str, unknown: Collection[str] = ()) -> None:
    place = _plan_file(output, what)
    if not place.exists():
        if os.path.lexists(output) and (not output.is_dir() or any(path.name[0] != "." for path in output.iterdir())):
            raise UserError(f"{output}: exists and is no {what} (it has no {place.name}); choose {ANOTHER_PLACE}")
        return
    try:
        changed = [change for change in differing(read_plan(place), plan) if change[0] not in unknown]
    except (OSError, ValueError) as error:
        raise ForeignPlanError(f"{place}: damaged ({error}). {WAY_OUT}") from error
    if changed:
        raise ForeignPlanError(f"{output}: holds another {what}: {in_words(changed)}. {WAY_OUT}")


def plan_number(output: Path, what: str) -> int | None:
    """What tells one plan from the next one under the same name; None where there is none."""
    try:
        return _plan_file(output, what).stat().st_ino
    except OSError:
        return None


def restarting(output: Path, restart: bool, attempt: Callable[[], Result], what: str) -> Result:
    """What `attempt` returns; where the folder holds what another plan has made, set it aside and try again.

    Raises:
        ForeignPlanError: It does, and `restart` does not allow that.
        UserError, StorageError: As of `set_aside`.
    """
    number = plan_number(output, what)
    try:
        return attempt()
    except ForeignPlanError:
        if not restart:
            raise
        set_aside(output, number, what)
        return attempt()


def set_aside(output: Path, number: int | None, what: str) -> None:
    """Set a translation aside, see `ownership.set_aside`. What is none stays.

    Args:
        output: Its folder.
        number: The `plan_number` of the translation meant; another part may have set it aside already.
        what: What the folder holds.

    Raises:
        UserError: Another process is writing to it.
        StorageError: The disk refuses.
    """
    if number is None or plan_number(output, what) != number:
        return
    with Journal(output / JOURNAL) as journal:  # refused while another process is at work there
        if plan_number(output, what) != number:
            return
        if not journal.entries:
            with storage_errors(output):
                journal.path.unlink()
        ownership.set_aside(output)
