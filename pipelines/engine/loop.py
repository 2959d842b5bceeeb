"""The one loop: it runs every method of both stages and knows none by name.

Each step is a function of (state, seed, step): the batch is drawn by step number, learning rates follow from the step,
and torch's generator is seeded from (seed, step) before the method draws from it. So resuming needs no more than the
last checkpoint, and gives the same bits as if nothing had happened.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor

from pipelines.data.random_keys import key_number
from pipelines.engine.checkpoints import load_into, save_checkpoint
from pipelines.engine.launch import Machine, StopRequest, make_deterministic
from pipelines.engine.previews import write_preview
from pipelines.engine.runs import RunFolder
from pipelines.errors import Interrupted, NumericalError
from pipelines.progress import Progress
from segment.methods.method import Method, Update, parts_of


@dataclass(frozen=True)
class Schedule:
    """How long to train and when to write what down; all in steps."""

    steps: int
    seed: int
    checkpoint_every: int = 500
    log_every: int = 10
    preview_every: int = 200


def train(
    method: Method,
    batches: Callable[[int, int], Generator[Any, None, None]],
    run: RunFolder,
    schedule: Schedule,
    machine: Machine,
    about: dict[str, Any],
    what: str,
) -> None:
    """Train `method` from the run's newest checkpoint to the schedule's end.

    Args:
        method: Freshly built; moved to the machine's device here.
        batches: `batches(first, last)` yields the batches of steps first..last-1, each a pure function of its step;
            closed at the end, however it comes, so that the processes behind it end too.
        run: Where everything is written.
        schedule: Its length and rhythm.
        machine: Where to compute.
        about: Saved in each checkpoint; what a reader needs to rebuild the networks.
        what: Shown beside the progress.

    Raises:
        Interrupted: SIGTERM or SIGINT came; a checkpoint was saved.
        NumericalError: A loss is not finite; the last checkpoint is from before.
        StorageError: The disk failed; the last checkpoint is whole.
    """
    make_deterministic()
    method.to(machine.device, memory_format=method.memory_format).train()
    optimizers = method.optimizers()
    initial_rates = {name: [group["lr"] for group in o.param_groups] for name, o in optimizers.items()}
    newest = run.newest()
    done = load_into(newest, method, optimizers) if newest else 0
    if done >= schedule.steps:
        return
    if done > 0:
        run.refuse_other_precision(machine)
    run.describe_environment(machine)
    if done == 0:
        # The state before the first step: what a kill before the first checkpoint falls back to, and a test of the
        # disk.
        save_checkpoint(run.checkpoints, 0, method, optimizers, about)

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest().listening())
        metrics = stack.enter_context(run.open_log("metrics.jsonl", done))
        timings = stack.enter_context(run.open_log("timings.jsonl", done))
        progress = stack.enter_context(Progress(what, schedule.steps, "step", done))
        started = time.monotonic()
        stream = stack.enter_context(contextlib.closing(batches(done, schedule.steps)))
        for step in range(done, schedule.steps):
            batch = next(stream)
            waited = time.monotonic() - started
            batch = batch.to(machine.device)
            losses = _take_step(method, batch, step, schedule.seed, optimizers, initial_rates, machine)
            done = step + 1
            if done % schedule.log_every == 0 or done == schedule.steps:
                values = {name: value.item() for name, value in losses.items()}
                _append(metrics, {"step": done, **values})
                _append(timings, {"step": done, "seconds": time.monotonic() - started, "waited": waited})
                progress.reach(done, " ".join(f"{name} {value:.3f}" for name, value in values.items()))
            if done % schedule.preview_every == 0 or done == schedule.steps:
                torch.manual_seed(key_number(schedule.seed, "preview", done))
                write_preview(run.path / "previews" / f"step-{done:08d}.jpg", method.preview(batch))
            if done % schedule.checkpoint_every == 0 or done == schedule.steps or stop:
                for log in (metrics, timings):
                    os.fsync(log.fileno())  # a checkpoint must not outlive the rows before it
                save_checkpoint(run.checkpoints, done, method, optimizers, about)
            if stop:
                raise Interrupted(
                    f"{stop.signal_name} at step {done} of {schedule.steps}: checkpoint saved in {run.path}; "
                    "the same command carries on"
                )
            started = time.monotonic()


def _take_step(
    method: Method,
    batch: Any,
    step: int,
    seed: int,
    optimizers: dict[str, torch.optim.Optimizer],
    initial_rates: dict[str, list[float]],
    machine: Machine,
) -> dict[str, Tensor]:
    torch.manual_seed(key_number(seed, "step", step))
    scale = method.learning_rate_scale(step)
    for name, optimizer in optimizers.items():
        for group, rate in zip(optimizer.param_groups, initial_rates[name], strict=True):
            group["lr"] = rate * scale

    with machine.autocast():
        return method.step(batch, performed(optimizers, step))


def performed(optimizers: dict[str, torch.optim.Optimizer], step: int) -> Update:
    """What a method's step is given to learn by: see `segment.methods.method.Update`; `step` is told in errors."""

    def update(name: str, losses: dict[str, Tensor] | Iterable[dict[str, Tensor]]) -> None:
        """Learn from one part after the other; refuse what is no number before it reaches a weight."""
        optimizers[name].zero_grad(set_to_none=True)
        for part in parts_of(losses):
            for term, value in part.items():
                if not math.isfinite(value.item()):
                    raise NumericalError(
                        f'loss "{term}" is {value.item()} at step {step + 1}; the last checkpoint is from before. '
                        "Lower the learning rate, or look at the frames of this step with `sim2real data check`"
                    )
            torch.stack([value.float() for value in part.values()]).sum().backward()
        optimizers[name].step()
        # Autocast keeps bf16 copies of weights until the step ends; a method may use these weights again before that.
        torch.clear_autocast_cache()

    return update


def _append(log: IO[str], row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()
