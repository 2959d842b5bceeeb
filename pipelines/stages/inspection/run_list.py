"""Which runs there are, how far each came and what it reached: read from their folders, without torch.

After a week of experiments nobody remembers which folder was which, and which of them a kill left half-way.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import size_in_words
from pipelines.data.disk.json_files import parse_json
from pipelines.data.disk.ownership import try_lock
from pipelines.engine.checkpoint_files import is_finished, list_checkpoints, step_of, verify_checkpoint
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.printable import printable
from pipelines.report.figures import score

STAGES = ("translator", "segmenter")


@dataclass(frozen=True)
class RunSummary:
    """One run folder at a glance."""

    path: str
    what: str
    """Stage and method or network: "segmenter ddrnet23_slim"."""
    state: str
    """finished, running, stopped, begun (no checkpoint yet) or damaged (config.json cannot be read)."""
    steps_done: int
    """Steps in the newest checkpoint by its name; nothing is hashed."""
    steps: int | None
    mean_iou: float | None
    """Of the evaluation that lies in the folder; None where there is none."""
    seed: int | None
    size_bytes: int
    age_seconds: float
    """Since anything in it was written."""

    @property
    def cells(self) -> tuple[str, ...]:
        """As a row of `table`."""
        steps = "?" if self.steps is None else str(self.steps)
        seed = "–" if self.seed is None else str(self.seed)
        size, age = size_in_words(self.size_bytes), age_in_words(self.age_seconds)
        done = f"{self.steps_done}/{steps}"
        return tuple(map(printable, (self.path, self.what, self.state, done, score(self.mean_iou), seed, size, age)))


HEADINGS = ("run", "what", "state", "steps", "mIoU", "seed", "size", "age")


def find_runs(root: Path) -> list[RunSummary]:
    """The run folders in a folder and below it, the latest first.

    Raises:
        NoInputsError: There is none.
    """
    if not root.exists():
        raise NoInputsError(f"{root} does not exist: nothing was trained here yet; train first, or name another folder")
    if not root.is_dir():
        raise NoInputsError(f"{root} is not a folder; expected one that holds runs, such as runs/")
    now = time.time()
    runs = [summary(folder, now) for folder in _run_folders(root)]
    if not runs:
        raise NoInputsError(f"{root} holds no run folder (config.json with checkpoints/); train first, or name another")
    return sorted(runs, key=lambda run: (run.age_seconds, run.path))


def table(runs: list[RunSummary]) -> str:
    """The runs as aligned text, a line each; ends without a newline."""
    rows = [HEADINGS, *(run.cells for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def as_json(runs: list[RunSummary]) -> str:
    """The runs for programs, a JSON object a line."""
    return "\n".join(json.dumps(asdict(run)) for run in runs)


def summary(folder: Path, now: float) -> RunSummary:
    """A run folder at a glance.

    Args:
        folder: With `config.json`.
        now: Seconds since the epoch.
    """
    config = _read(folder / "config.json")
    settings = config.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    checkpoints = list_checkpoints(folder / "checkpoints")
    size, written = _size_and_time(folder)
    stage = config.get("stage")
    return RunSummary(
        path=str(folder),
        what=f"{stage} {settings.get('network') or settings.get('method') or ''}".strip() if stage in STAGES else "?",
        state="damaged" if stage not in STAGES else _state(folder, bool(checkpoints)),
        steps_done=step_of(checkpoints[0]) if checkpoints else 0,
        steps=_whole(settings.get("steps")),
        mean_iou=_number(_read(folder / "evaluation" / "evaluation.json").get("mean_iou")),
        seed=_whole(config.get("seed")),
        size_bytes=size,
        age_seconds=max(0.0, now - written),
    )


def describe(folder: Path) -> Iterator[str]:
    """What there is to know of one run, line by line; its checkpoints are hashed.

    Raises:
        UserError: It is not a run folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; `sim2real runs list` names all run folders below runs")
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} is not a run folder (no config.json); `sim2real runs list {folder}` lists those in it"
        )
    run, config = summary(folder, time.time()), _read(folder / "config.json")
    environment = _read(folder / "environment.json")
    yield printable(f"{run.path}: {run.what}, seed {run.cells[5]}")
    yield f"{run.state}, step {run.cells[3]}, {run.cells[6]}, last written {run.cells[7]} ago"
    if environment:
        versions = environment.get("packages")
        shown = (
            ", ".join(f"{name} {version}" for name, version in versions.items()) if isinstance(versions, dict) else ""
        )
        yield printable(f"made on {environment.get('machine', '?')}; Python {environment.get('python', '?')}, {shown}")
    for name, digest in _named(config.get("frames")):
        yield printable(f"frames {name}: {digest[:12]}…")
    for checkpoint in list_checkpoints(folder / "checkpoints"):
        try:
            verify_checkpoint(checkpoint)
            verdict = "intact"
        except CheckpointError as error:
            verdict = f"damaged: {error}"
        yield printable(f"checkpoint {checkpoint.name}: {size_in_words(_size_and_time(checkpoint)[0])}, {verdict}")
    if (last := _last_row(folder / "metrics.jsonl")) is not None:
        values = {name: number for name, value in last.items() if (number := _number(value)) is not None}
        yield printable("last logged: " + ", ".join(f"{name} {value:g}" for name, value in values.items()))
    if run.mean_iou is not None:
        frames = _read(folder / "evaluation" / "evaluation.json").get("frames", "?")
        yield printable(f"evaluated on {frames} frames: mIoU {run.cells[4]}")


def age_in_words(seconds: float) -> str:
    """How long ago something was: 42 s, 3 min, 5 h, 12 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _run_folders(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if "config.json" in names and ("checkpoints" in folders or ".lock" in names):
            folders[:] = [name for name in folders if name not in ("checkpoints", "previews", "evaluation")]
            yield here


def _state(folder: Path, saved: bool) -> str:
    if is_finished(folder):
        return "finished"
    if _is_held(folder / ".lock"):
        return "running"
    return "stopped" if saved else "begun"


def _is_held(lock: Path) -> bool:
    """Whether a process holds the run. Asking takes part in the lock for a moment: only unfinished runs are asked."""
    try:
        with open(lock, "rb") as stream:
            return not try_lock(stream, together=True)
    except OSError:
        return False


def _size_and_time(folder: Path) -> tuple[int, float]:
    """Bytes of all files, and when the latest of them was written, in seconds since the epoch."""
    size, latest = 0, 0.0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                stat = os.lstat(os.path.join(place, name))
            except FileNotFoundError:  # a run that is being written
                continue
            size, latest = size + stat.st_size, max(latest, stat.st_mtime)
    return size, latest


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where it is missing or damaged, which the state tells."""
    try:
        value = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _last_row(log: Path) -> dict[str, Any] | None:
    """The last whole row of a JSON-lines log."""
    try:
        lines = log.read_bytes().splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            row = parse_json(line)
        except ValueError:  # torn by a kill
            continue
        return row if isinstance(row, dict) else None
    return None


def _named(value: Any) -> list[tuple[str, str]]:
    return [(str(name), str(item)) for name, item in value.items()] if isinstance(value, dict) else []


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
