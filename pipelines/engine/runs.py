"""The run folder: one folder that explains itself.

`config.json` says what was asked for, `environment.json` with what, `metrics.jsonl` what happened (no times in it, so
that a resumed run's file equals an undisturbed one's; times are in `timings.jsonl`), `checkpoints/` what came out;
`skipped_steps.json`, where there is one, what was passed over.
"""

import importlib.metadata
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import torch
from torch import Tensor
from torch.optim import Optimizer

from pipelines.data.disk.files import storage_errors, write_atomically
from pipelines.data.disk.json_files import parse_json, read_json, write_json
from pipelines.data.disk.ownership import as_json, differing, hold, read_plan, set_aside, sweep, value_in_words
from pipelines.engine.capabilities import capabilities
from pipelines.engine.checkpoint_files import NEWEST_TWO, Retention, checkpoint_hash, newest_checkpoint, step_of
from pipelines.engine.checkpoints import drop_old, save_checkpoint, sweep_checkpoints
from pipelines.engine.launch import Machine, describe_machine
from pipelines.engine.previews import write_preview
from pipelines.engine.processes import Processes
from pipelines.errors import UserError
from segment.methods.method import Method

SKIPPED = "skipped_steps.json"
"""In the run folder: the steps that are passed over."""


class RunFolder:
    """A training run on disk, held by one process at a time.

    Args:
        path: The folder; made if absent.
        config: Everything that decides the outcome, JSON-like. A folder made with another config is refused.
        restart: Set a folder of another config aside (renamed, nothing deleted) instead of refusing it.
        retention: Which checkpoints are kept.
    """

    def __init__(
        self,
        path: Path,
        config: dict[str, Any],
        restart: bool = False,
        retention: Retention = NEWEST_TWO,
    ) -> None:
        self.path, self.retention = path, retention
        self.config = as_json(config)
        self._lock = self._held()
        try:
            difference = self._difference()
            if difference and not restart:
                raise UserError(
                    f"{path} holds a run with other settings or data ({difference}); "
                    "choose another folder, or --restart to set it aside and begin anew"
                )
        except BaseException:
            self.close()
            raise
        if difference:
            set_aside(path)
            self.close()
            self._lock = self._held()
        self._sweep()
        if not (path / "config.json").exists():
            write_json(path / "config.json", self.config)

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints are."""
        return self.path / "checkpoints"

    def newest(self, passed_over: Callable[[str], None] = lambda problem: None) -> Path | None:
        """The newest intact checkpoint, or None; `passed_over` is told of newer ones that are damaged."""
        return newest_checkpoint(self.checkpoints, passed_over)

    def steps_done(self) -> int:
        """Steps in the newest intact checkpoint; 0 without one."""
        newest = self.newest()
        return step_of(newest) if newest else 0

    def describe_environment(self, machine: Machine) -> None:
        """Write `environment.json`: versions and the machine of this (latest) start."""
        write_json(self.path / "environment.json", environment(machine))

    def begun_in(self) -> str | None:
        """The precision that a run which is under way was begun in; None before its first step.

        Raises:
            UserError: The run does not say.
        """
        if not self.steps_done():
            return None
        path = self.path / "environment.json"
        try:
            return str(read_plan(path)["precision"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path} does not say in which precision the run was begun ({_reason(error)}); put it back, or write "
                '{"precision": "fp32"} into it, or "bf16"'
            ) from error

    def refuse_other_precision(self, machine: Machine) -> None:
        """A run that went from one precision to another half-way could not be repeated by any command.

        Raises:
            UserError: The run was begun with another precision.
        """
        begun = self.begun_in()
        if begun is not None and begun != machine.precision:
            raise UserError(
                f"{self.path} was begun in {begun} and would go on in {machine.precision}; "
                f"add --precision {begun}, or choose another --run"
            )

    def skipped(self) -> dict[int, str]:
        """The steps, counted from 1, that are passed over, with the reason why.

        Raises:
            UserError: The file that lists them is damaged.
        """
        path = self.path / SKIPPED
        if not path.exists():
            return {}
        try:
            return {int(step): str(why) for step, why in read_plan(path).items()}
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path} is damaged ({_reason(error)}); remove it and run the command again; such steps are found anew"
            ) from error

    def skip(self, step: int, why: str) -> dict[int, str]:
        """Pass a step over from now on, in this start and in all later ones; return all that are."""
        skipped = self.skipped() | {step: why}
        write_json(self.path / SKIPPED, {str(number): reason for number, reason in skipped.items()})
        return skipped

    def open_log(self, name: str, after_step: int) -> IO[str]:
        """Open a JSON-lines log for appending, cut back to the rows up to `after_step`."""
        path = self.path / name
        with storage_errors(path):
            if path.exists():
                kept = [line for line in path.read_text(errors="replace").splitlines() if _step_in(line) <= after_step]
                write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
            return open(path, "a", encoding="utf-8")

    def logged(self, name: str, up_to_step: int) -> list[dict[str, float]]:
        """The rows of a JSON-lines log up to a step, without their "step"; none where there is no log yet."""
        path = self.path / name
        with storage_errors(path):
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        rows = [parse_json(line) for line in lines if _step_in(line) <= up_to_step]
        return [{key: value for key, value in row.items() if key != "step"} for row in rows]

    def save(
        self, step: int, method: Method, optimizers: dict[str, Optimizer], about: dict[str, Any], *logs: IO[str]
    ) -> None:
        """Write the checkpoint of a step, and before it what was logged: it must not outlive the rows before it."""
        for log in logs:
            os.fsync(log.fileno())
        save_checkpoint(self.checkpoints, step, method, optimizers, about, self.retention)

    def preview(self, step: int, images: dict[str, Tensor]) -> None:
        """Write the pictures of a step; see `previews.write_preview`."""
        write_preview(self.path / "previews" / f"step-{step:08d}.jpg", images)

    def finish(self) -> None:
        """Write `final.json`, which names the last checkpoint and its hash: the run is complete.

        A run that was so already is left as it is, whatever retention it was opened with.
        """
        checkpoint = self.newest()
        if checkpoint is None:
            raise UserError(f"{self.path} holds no checkpoint; run the command again")
        final = {"checkpoint": f"checkpoints/{checkpoint.name}", "sha256": checkpoint_hash(checkpoint)}
        if not (self.path / "final.json").exists() or read_json(self.path / "final.json") != final:
            drop_old(self.checkpoints, checkpoint, self.retention)  # a kill may have left no time for it
            write_json(self.path / "final.json", final)

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.checkpoints / f"step-{step:08d}"

    def _held(self) -> BinaryIO:
        """Lock the folder, made if absent."""
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        return hold(
            self.path / ".lock", f"{self.path} is in use by another process; wait for it, or choose another folder"
        )

    def _sweep(self) -> None:
        """Remove what a killed process was writing. The folder is locked: no living one writes here."""
        for folder in (self.path, self.path / "previews"):
            sweep(folder, below=False)
        sweep_checkpoints(self.checkpoints)

    def _difference(self) -> str:
        """What the folder's config says otherwise; empty where it says the same, or is yet to be written."""
        path = self.path / "config.json"
        if not path.exists():
            return ""
        try:
            found = read_plan(path)
        except ValueError as error:
            return f"its config.json is damaged: {error}"
        if found == self.config:
            return ""
        changed = differing(flatten(found), flatten(self.config))
        shown = [
            f"{key} was {value_in_words(former)}, now {value_in_words(asked)}" for key, former, asked in changed[:2]
        ]
        more = f" and {len(changed) - 2} more" if len(changed) > 2 else ""
        return ("; ".join(shown) or "an empty part") + more


class FollowedRun(RunFolder):
    """The run folder in a process that another one leads: it reads the leader's checkpoints and writes nothing."""

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path, self.config = path, as_json(config)
        self._skipped: dict[int, str] = {}

    def describe_environment(self, machine: Machine) -> None:
        """The leader does."""

    def skip(self, step: int, why: str) -> dict[int, str]:
        """The leader writes it, now or in a moment."""
        self._skipped |= self.skipped() | {step: why}
        return self._skipped

    def open_log(self, name: str, after_step: int) -> IO[str]:
        """A log that nobody reads."""
        return open(os.devnull, "w", encoding="utf-8")

    def save(
        self, step: int, method: Method, optimizers: dict[str, Optimizer], about: dict[str, Any], *logs: IO[str]
    ) -> None:
        """The leader does."""

    def preview(self, step: int, images: dict[str, Tensor]) -> None:
        """The leader does."""

    def finish(self) -> None:
        """The leader does."""

    def close(self) -> None:
        """Nothing is held."""


def open_run(
    path: Path,
    config: dict[str, Any],
    restart: bool,
    processes: Processes,
    retention: Retention = NEWEST_TWO,
) -> RunFolder:
    """The run folder in the process that leads; in others, once it is made and found to be of this config, followed.

    Raises:
        UserError: The folder is of another config, or in use.
    """
    run = RunFolder(path, config, restart, retention) if processes.leads else FollowedRun(path, config)
    processes.wait()
    return run


def _reason(error: Exception) -> str:
    """Why a file of the run cannot be used, without its name."""
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _step_in(line: str) -> float:
    """The step of a log row; a row torn by a kill, or otherwise damaged, counts as later than everything."""
    try:
        return float(parse_json(line)["step"])
    except (ValueError, LookupError, TypeError, OverflowError):
        return float("inf")


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested JSON as {"a.b.0": leaf}."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return {prefix: value}
    return {k: v for key, part in items for k, v in flatten(part, f"{prefix}.{key}" if prefix else str(key)).items()}


def environment(machine: Machine) -> dict[str, Any]:
    """Versions and machine, as written into every run."""
    packages = ("sim2real", "torch", "torchvision", "kornia", "opencv-python-headless", "numpy")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": describe_machine(machine),
        "precision": machine.precision,
        "deterministic": machine.deterministic or machine.device.type == "cpu",
        "instructions": list(capabilities().instructions),
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
