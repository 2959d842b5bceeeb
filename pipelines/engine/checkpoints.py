"""Checkpoints that survive a kill at any moment and notice a flipped bit.

A checkpoint is a folder `step-N/` with tensors in safetensors, everything else in JSON, and `manifest.json` with the
SHA-256 of each file. It is written under a hidden name, synced, and renamed: what has a final name is whole. Neither
safetensors nor torch.load notices a changed byte in tensor data, hence the hashes, checked before anything is read.
"""

import contextlib
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from pipelines.data.disk.files import sha256_of, storage_errors, sync_folder
from pipelines.engine.checkpoint_files import FORMAT, NEWEST_TWO, Retention, blame_no_file, read_state
from pipelines.errors import CheckpointError, NumericalError


def save_checkpoint(
    folder: Path,
    step: int,
    method: nn.Module,
    optimizers: dict[str, Optimizer],
    about: dict,
    retention: Retention = NEWEST_TWO,
) -> Path:
    """Write `folder/step-N/` atomically and drop the older ones that need not be kept.

    Args:
        folder: The run's `checkpoints/` folder.
        step: Steps taken so far.
        method: Its `state_dict()` is saved whole.
        optimizers: By name; their tensors and scalars are saved.
        about: What a reader needs to rebuild the networks: stage, method and its settings.
        retention: Which are kept.

    Raises:
        StorageError: The disk is full or cannot be written; the former checkpoints are untouched.
        NumericalError: A weight, buffer or moment is not finite: what is saved can always be used.
    """
    target = folder / f"step-{step:08d}"
    part = folder / f".{target.name}.{os.getpid()}.part"
    with storage_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            _write_parts(part, step, method, optimizers, about)
            sync_folder(part)
            if target.exists():
                _drop(target)
            os.replace(part, target)
            sync_folder(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        drop_old(folder, target, retention)
    return target


def sweep_checkpoints(folder: Path) -> None:
    """Remove what a killed process left half-written, or half-removed.

    Only for the process that holds the run: what another one is writing would be swept too.
    """
    if not folder.is_dir():
        return
    with storage_errors(folder):
        for part in folder.glob(".*.part"):
            shutil.rmtree(part)


def drop_old(folder: Path, intact: Path, retention: Retention) -> None:
    """Drop the checkpoints that need not be kept, all older than one that is known to be whole.

    Raises:
        StorageError: The disk cannot be written.
    """
    with storage_errors(folder):
        for old in retention.dropped(folder, intact):
            _drop(old)


def _drop(checkpoint: Path) -> None:
    """Remove a checkpoint, its name first: a kill in between must not leave a half-empty folder of that name."""
    part = checkpoint.with_name(f".{checkpoint.name}-dropped.{os.getpid()}.part")
    os.replace(checkpoint, part)
    shutil.rmtree(part)


def _write_parts(part: Path, step: int, method: nn.Module, optimizers: dict[str, Optimizer], about: dict) -> None:
    state = {k: v.detach().cpu().contiguous() for k, v in method.state_dict().items()}
    tensors, scalars = {}, {}
    for name, optimizer in optimizers.items():
        moments, scalars[name] = _split_optimizer(optimizer)
        tensors |= {f"{name}/{key}": value for key, value in moments.items()}
    spoilt = [name for name, value in (state | tensors).items() if not value.isfinite().all()]
    if spoilt:
        of = "" if spoilt[0] in state else "the optimizer's "
        raise NumericalError(
            f"{of}{spoilt[0]} holds values that are no numbers at step {step}, though no loss or gradient showed it; "
            "it is not saved"
        )
    _save(state, part / "method.safetensors")
    _save(tensors, part / "optimizers.safetensors")
    rest = {"format": FORMAT, "step": step, "about": about, "optimizers": scalars}
    (part / "state.json").write_text(json.dumps(rest, indent=1, sort_keys=True) + "\n")
    hashes = {file.name: sha256_of(file) for file in sorted(part.iterdir())}
    (part / "manifest.json").write_text(json.dumps(hashes, indent=1, sort_keys=True) + "\n")
    for file in part.iterdir():
        with open(file, "rb+") as handle:
            os.fsync(handle.fileno())


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """`save_file` that fails as other writes do and leaves a file of the usual permissions.

    safetensors tells a full disk by an error of its own, the system's number in its text; and it writes to a temporary
    file that only its owner may read, which keeps that mode.
    """
    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        code = _system_error_in(error) or errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error
    path.chmod(mode & 0o777)


def _system_error_in(error: BaseException) -> int | None:
    """The number of the system's error that an error of safetensors was raised for: in its text alone, if at all."""
    number = re.search(r"os error (\d+)", str(error))
    return int(number[1]) if number else None


@contextlib.contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Turn what safetensors says of a file into a CheckpointError: the hashes can be right of a file that is none.

    Raises:
        StorageError: No file is to blame (`blame_no_file`).
        MemoryError: The system has no memory for it.
    """
    try:
        with open(file, "rb"):  # safetensors calls a file that the system does not open one that is not there
            pass
        yield
    except (SafetensorError, OSError, ValueError, MemoryError) as error:
        blame_no_file(file, error)
        if _system_error_in(error) == errno.ENOMEM:
            raise MemoryError(f"{file}: {error}") from error
        detail = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{file} is damaged ({detail}); use an older checkpoint or copy it again") from error


def _split_optimizer(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state = optimizer.state_dict()
    tensors = {
        f"{index}/{key}": value.detach().cpu().contiguous()
        for index, values in state["state"].items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }
    scalars = {
        str(index): {key: value for key, value in values.items() if not isinstance(value, Tensor)}
        for index, values in state["state"].items()
    }
    return tensors, {"state": scalars, "param_groups": state["param_groups"]}


def load_method(checkpoint: Path, method: nn.Module) -> None:
    """Fill a method with a verified checkpoint's tensors, every key accounted for.

    Raises:
        CheckpointError: Keys or shapes are of another network.
    """
    tensors = load_tensors(checkpoint)
    try:
        method.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{checkpoint} is of another network: {detail}") from error


def load_tensors(checkpoint: Path) -> dict[str, Tensor]:
    """The tensors of a verified checkpoint's method, by name.

    Raises:
        CheckpointError: The file holds none.
    """
    with _damage_named(checkpoint / "method.safetensors"):
        return load_file(checkpoint / "method.safetensors")


def load_part(checkpoint: Path, network: nn.Module, prefix: str) -> None:
    """Fill one network of a method with those of a verified checkpoint's tensors whose names begin with `prefix`.

    Raises:
        CheckpointError: They are not all that the network needs, or belong to another one.
    """
    file = checkpoint / "method.safetensors"
    with _damage_named(file), safe_open(file, framework="pt") as tensors:
        own = {key.removeprefix(prefix): tensors.get_tensor(key) for key in tensors.keys() if key.startswith(prefix)}  # noqa: SIM118
    spoilt = [name for name, value in own.items() if value.is_floating_point() and not value.isfinite().all()]
    if spoilt:
        raise CheckpointError(f"{checkpoint}: {prefix}{spoilt[0]} holds values that are no numbers; use another one")
    try:
        network.load_state_dict(own, strict=True)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{checkpoint} is of another network: {detail}") from error


def load_optimizers(checkpoint: Path, optimizers: dict[str, Optimizer]) -> None:
    """Restore the optimizers' moments and counters."""
    scalars = read_state(checkpoint)["optimizers"]
    file = checkpoint / "optimizers.safetensors"
    with _damage_named(file):
        saved = load_file(file)
    try:
        tensors: dict[str, dict[int, dict[str, Tensor]]] = {name: {} for name in scalars}
        for key, value in saved.items():
            name, index, field = key.split("/")
            tensors[name].setdefault(int(index), {})[field] = value
        for name, optimizer in optimizers.items():
            own = scalars[name]
            indices = {int(index) for index in own["state"]}
            state = {index: own["state"][str(index)] | tensors[name].get(index, {}) for index in sorted(indices)}
            optimizer.load_state_dict({"state": state, "param_groups": own["param_groups"]})
            _lay_out_like_parameters(optimizer)
    except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(
            f"{checkpoint}: the state of its optimizers is of another method ({error}); use an older checkpoint"
        ) from error


def _lay_out_like_parameters(optimizer: Optimizer) -> None:
    """Give moments the memory layout of their weights, which safetensors does not keep.

    Fused Adam on a CPU goes through both in the order of memory and checks no strides: with a channels-last weight and
    contiguous moments it would pair weights with the moments of others, and say nothing.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {})  # [] would make an entry for a weight that has not learnt yet
            for field, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    state[field] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def load_into(checkpoint: Path, method: nn.Module, optimizers: dict[str, Optimizer]) -> int:
    """Restore everything; return the number of steps taken."""
    load_method(checkpoint, method)
    load_optimizers(checkpoint, optimizers)
    return int(read_state(checkpoint)["step"])
