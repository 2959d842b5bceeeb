"""Checkpoints as files: found, told whole from damaged, known by one hash. Nothing here reads a tensor.

What decides an outcome (`experiment/identity.py`) needs no more of a checkpoint, and torch takes seconds to import.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import says_nothing_of_the_file, sha256_of
from pipelines.data.disk.json_files import parse_json
from pipelines.errors import CheckpointError, StorageError

MANIFEST = "manifest.json"
FILES = ("method.safetensors", "optimizers.safetensors", "state.json")
"""What every checkpoint is made of; the manifest has a hash of each."""
FORMAT = 1
"""The format of `state.json`; raised when a reader of an older version could go wrong."""


@dataclass(frozen=True)
class Retention:
    """Which checkpoints of a run are kept: the `newest` so many, and for ever those after `every` so many steps.

    The state before the first step is none of the latter.
    """

    newest: int = 2
    every: int | None = None

    def dropped(self, folder: Path, intact: Path) -> list[Path]:
        """The checkpoints of a folder that need not be kept.

        Args:
            folder: Of checkpoints.
            intact: One that is known to be whole. Only older ones are dropped: what is newer may be damaged, and would
                count in the place of what can be used.
        """
        older = [one for one in list_checkpoints(folder) if step_of(one) < step_of(intact)]
        return [one for one in older[self.newest - 1 :] if not self._is_archived(step_of(one))]

    def _is_archived(self, step: int) -> bool:
        return self.every is not None and step > 0 and step % self.every == 0


NEWEST_TWO = Retention()
SHOWN_RUNS = 6
"""Run folders that an error names."""


def is_finished(run: Path) -> bool:
    """Whether the training of a run folder came to its last step."""
    return (run / "final.json").exists()


def list_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, newest first."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if re.fullmatch(r"step-\d+", p.name)), key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """The number of steps in a checkpoint's name."""
    return int(checkpoint.name.removeprefix("step-"))


def newest_checkpoint(folder: Path, passed_over: Callable[[str], None] = lambda problem: None) -> Path | None:
    """The newest checkpoint whose files are as they were written; damaged ones are passed over.

    Args:
        folder: Of checkpoints.
        passed_over: Told what is wrong with each newer one, if there is an older one that is whole.

    Raises:
        CheckpointError: There are checkpoints, and all of them are damaged.
    """
    problems = []
    for checkpoint in list_checkpoints(folder):
        try:
            verify_checkpoint(checkpoint)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            passed_over(problem)
        return checkpoint
    if problems:
        raise CheckpointError(
            f"{folder}: no checkpoint is intact ({problems[0]}); rename the run folder and train anew"
        )
    return None


def verify_checkpoint(checkpoint: Path) -> dict[str, str]:
    """Compare every file with the manifest's hash; return the manifest.

    Raises:
        CheckpointError: Not a checkpoint of ours, or a file is missing or changed.
    """
    hashes = read_hashes(checkpoint)
    for name, expected in hashes.items():
        file = checkpoint / name
        if not file.is_file():
            raise CheckpointError(f"{checkpoint}: {name} is missing; use an older checkpoint or copy it again")
        if sha256_of(file) != expected:
            raise CheckpointError(
                f"{checkpoint}: {name} has changed since it was written; use an older one or copy it again"
            )
    return hashes


def read_hashes(checkpoint: Path) -> dict[str, str]:
    """File -> SHA-256, as the manifest has it; nothing is compared yet.

    Raises:
        CheckpointError: Not a checkpoint of ours, its manifest is damaged, or it leaves out a file that we read.
        StorageError: No file is to blame (`blame_no_file`).
    """
    path = checkpoint / MANIFEST
    if not checkpoint.is_dir() or not path.is_file():
        raise CheckpointError(
            f"{checkpoint} is not a checkpoint of sim2real: expected a folder with manifest.json, "
            "such as RUN/checkpoints/step-00001000, or the run folder itself"
        )
    try:
        manifest = parse_json(path.read_bytes())
        hashes = {str(name): str(value) for name, value in manifest.items()}
    except (OSError, ValueError, AttributeError) as error:
        blame_no_file(path, error)
        raise CheckpointError(f"{path} is damaged ({error}); use an older checkpoint") from error
    for name in hashes:
        if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
            raise CheckpointError(f"{path} is damaged (it names {name!r}, no file beside it); use an older checkpoint")
    for name in FILES:
        if name not in hashes:
            raise CheckpointError(f"{path} is damaged (it leaves out {name}); use an older checkpoint")
    return hashes


def blame_no_file(path: Path, error: Exception) -> None:
    """StorageError where the disk, the way to it, or too few descriptors are why a file could not be read.

    It may be as good as ever: training that took it for damaged would go back to an older checkpoint.
    """
    if says_nothing_of_the_file(error):
        raise StorageError(f"{path}: cannot read: {getattr(error, 'strerror', None) or error}") from error


def checkpoint_hash(checkpoint: Path) -> str:
    """One hash for the whole checkpoint: that of its manifest, which holds the hashes of its files."""
    return sha256_of(checkpoint / "manifest.json")


def resolve_checkpoint(path: Path) -> Path:
    """A checkpoint folder itself, or the newest of a run folder; its files are verified.

    Raises:
        CheckpointError: There is none, or it is damaged. An older one is never taken in silence: it would score less.
    """
    if (path / "checkpoints").is_dir():
        found = list_checkpoints(path / "checkpoints")
        if not found:
            raise CheckpointError(f"{path} holds no checkpoint yet; train first")
        path = found[0]
    if not path.exists():
        raise CheckpointError(f"checkpoint {path} does not exist; give a run folder or one of its checkpoints/step-N")
    if runs := _runs_below(path):
        shown = ", ".join(map(str, runs[:SHOWN_RUNS])) + (", …" if len(runs) > SHOWN_RUNS else "")
        raise CheckpointError(f"{path} is no run folder but holds {len(runs)}: {shown}; name the one that is meant")
    verify_checkpoint(path)
    return path


def _runs_below(folder: Path) -> list[Path]:
    """The run folders in an experiment's folder, or in that of one of its seeds; none in a checkpoint."""
    found = [inner for pattern in ("*/checkpoints", "*/*/checkpoints") for inner in folder.glob(pattern)]
    return sorted(inner.parent for inner in found if list_checkpoints(inner))


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The JSON part of a verified checkpoint: format, step, about, optimizers.

    Raises:
        CheckpointError: It cannot be read, is of another format, or lacks one of these.
        StorageError: No file is to blame (`blame_no_file`).
    """
    path = checkpoint / "state.json"
    try:
        state = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        blame_no_file(path, error)
        raise CheckpointError(f"{path} cannot be read ({error}); use an older checkpoint") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} holds a {type(state).__name__}, expected an object; use an older checkpoint")
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"{checkpoint} has format {state.get('format')}, this version reads {FORMAT}; update sim2real"
        )
    for key, kind in (("step", int), ("about", dict), ("optimizers", dict)):
        if not isinstance(state.get(key), kind):
            raise CheckpointError(f"{path}: its {key} is missing or of another kind; use an older checkpoint")
    return state


def settings_in(checkpoint: Path, stage: str) -> dict[str, Any]:
    """The settings that a checkpoint of the expected stage was trained with."""
    about = read_state(checkpoint)["about"]
    if about.get("stage") != stage:
        raise CheckpointError(f"{checkpoint} is a {about.get('stage')}, expected a {stage}")
    if not isinstance(about.get("settings"), dict):
        raise CheckpointError(f"{checkpoint}/state.json holds no settings; use an older checkpoint")
    return about["settings"]
