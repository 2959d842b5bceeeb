"""The one loop: it runs every method of both stages and knows none by name.

Each step is a function of (state, seed, step): the batch is drawn by step number, learning rates follow from the step,
and torch's generator is seeded from (seed, step) before the method draws from it. So resuming needs no more than the
last checkpoint, and gives the same bits as if nothing had happened.

Several processes take every step together, each on its part of the batch. One of them leads: it writes.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor

from pipelines.data.sampling.random_keys import key_number
from pipelines.engine.checkpoints import load_into
from pipelines.engine.launch import Machine, StopRequest, make_deterministic
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.runs import RunFolder
from pipelines.errors import Interrupted, NumericalError, UserError
from pipelines.progress import Progress
from segment.adaptation.guards import Collapsed
from segment.methods.method import Method


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
            closed at the end, however it comes, so that the processes behind it end too. Of several processes that
            train, each is given its own part of the batches.
        run: Where everything is written.
        schedule: Its length and rhythm.
        machine: Where to compute, and with which processes.
        about: Saved in each checkpoint; what a reader needs to rebuild the networks.
        what: Shown beside the progress.

    Raises:
        Interrupted: A signal asked to stop (`StopRequest`); a checkpoint was saved.
        NumericalError: A loss is not finite, or the method says that it has collapsed; the last checkpoint is from
            before.
        StorageError: The disk failed; the last checkpoint is whole.
    """
    make_deterministic()
    processes = machine.processes
    method.to(machine.device, memory_format=method.memory_format(machine.device)).train()
    optimizers = method.optimizers()
    initial_rates = {name: [group["lr"] for group in o.param_groups] for name, o in optimizers.items()}
    done = _begin(method, optimizers, run, schedule, machine, about)
    if done >= schedule.steps:
        return

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(StopRequest().listening())
        metrics = stack.enter_context(run.open_log("metrics.jsonl", done))
        timings = stack.enter_context(run.open_log("timings.jsonl", done))
        progress = stack.enter_context(Progress(what, schedule.steps, "step", done, processes.stderr()))
        started = time.monotonic()
        stream = stack.enter_context(contextlib.closing(batches(done, schedule.steps)))
        for step in range(done, schedule.steps):
            batch = next(stream)
            waited = time.monotonic() - started
            batch = batch.to(machine.device)
            losses = _take_step(method, batch, step, schedule.seed, optimizers, initial_rates, machine)
            done = step + 1
            if done % schedule.log_every == 0 or done == schedule.steps:
                values = processes.mean({name: value.item() for name, value in losses.items()})
                _append(metrics, {"step": done, **values})
                _append(timings, {"step": done, "seconds": time.monotonic() - started, "waited": waited})
                progress.reach(done, headline(values))
                for line in _warnings(method, values, done):
                    progress.say(f"{what}, step {done}: {line}")
            if done % schedule.preview_every == 0 or done == schedule.steps:
                torch.manual_seed(key_number(schedule.seed, "preview", done))
                run.preview(done, method.preview(batch))
            stopping = processes.any(bool(stop))
            if done % schedule.checkpoint_every == 0 or done == schedule.steps or stopping:
                run.save(done, method, optimizers, about, metrics, timings)
            if stopping:
                break
            started = time.monotonic()
        if processes.any(bool(stop)):
            raise Interrupted(
                f"{stop.signal_name or 'a signal'} at step {done} of {schedule.steps}: checkpoint saved in {run.path}; "
                "the same command carries on"
            )


def _begin(
    method: Method,
    optimizers: dict[str, torch.optim.Optimizer],
    run: RunFolder,
    schedule: Schedule,
    machine: Machine,
    about: dict[str, Any],
) -> int:
    """Bring the method, in every process, to where the newest checkpoint is, made if there is none; the steps taken."""
    done, processes = 0, machine.processes
    if processes.leads:
        damaged: list[str] = []
        newest = run.newest(damaged.append)
        done = load_into(newest, method, optimizers) if newest else 0
        for problem in damaged:
            print(f"{problem.partition(';')[0]}; going on from step {done}", file=processes.stderr())
        if 0 < done < schedule.steps:
            run.refuse_other_precision(machine)
        if done < schedule.steps:
            run.describe_environment(machine)
        if done == 0:
            # The state before the first step: what a kill before the first checkpoint falls back to, and a test of the
            # disk.
            run.save(0, method, optimizers, about)
    done = processes.from_leader(done)
    if not processes.leads:
        checkpoint = run.checkpoint(done)
        if not checkpoint.is_dir():
            raise UserError(f"{checkpoint}: seen by process 0 alone; choose a --run on a disk that all machines share")
        load_into(checkpoint, method, optimizers)
    return done


def _take_step(
    method: Method,
    batch: Any,
    step: int,
    seed: int,
    optimizers: dict[str, torch.optim.Optimizer],
    initial_rates: dict[str, list[float]],
    machine: Machine,
) -> dict[str, Tensor]:
    torch.manual_seed(key_number(seed, "step", step) + machine.processes.rank)
    scale = method.learning_rate_scale(step)
    for name, optimizer in optimizers.items():
        for group, rate in zip(optimizer.param_groups, initial_rates[name], strict=True):
            group["lr"] = rate * scale

    with machine.autocast():
        losses = method.step(batch, PerformedUpdate(optimizers, step, machine.processes))
    return losses | method.observed()


class PerformedUpdate:
    """How a method's step learns, as `segment.methods.method.Update` promises it.

    Args:
        optimizers: By name; no gradient that was left behind counts.
        step: The step (0-based), told in errors.
        processes: Whose gradients are averaged.
    """

    def __init__(self, optimizers: dict[str, torch.optim.Optimizer], step: int, processes: Processes = ALONE) -> None:
        self._optimizers, self._step, self._processes = optimizers, step, processes
        self._unchecked: list[tuple[str, Tensor]] = []
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def backward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        torch.stack([value.float() for value in losses.values()]).sum().backward()
        found = {name: value.detach() for name, value in losses.items()}
        self._unchecked += found.items()
        return found

    def step(self, *optimizers: str) -> None:
        """Learn, unless a loss is no number: nothing of it reaches a weight."""
        self._refuse_what_is_no_number()
        for name in optimizers:
            self._processes.average_gradients(self._optimizers[name])
            self._optimizers[name].step()
            self._optimizers[name].zero_grad(set_to_none=True)
        # Autocast keeps bf16 copies of weights until the step ends; a method may use these weights again before that.
        torch.clear_autocast_cache()

    def __call__(self, optimizer: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.backward(losses)
        self.step(optimizer)
        return found

    def _refuse_what_is_no_number(self) -> None:
        """One wait for the device in each update, however many terms there are."""
        if not self._unchecked:
            return
        names, values = zip(*self._unchecked, strict=True)
        self._unchecked = []
        for name, value in zip(names, torch.stack([value.float() for value in values]).tolist(), strict=True):
            if not math.isfinite(value):
                raise NumericalError(
                    f'loss "{name}" is {value} at step {self._step + 1}; the last checkpoint is from before. '
                    "Lower the learning rate, or look at the frames of this step with `sim2real data check`"
                )


def headline(values: dict[str, float]) -> str:
    """What is shown beside the progress: all but families of values ("pseudo_share/car"), which the log alone keeps."""
    return " ".join(f"{name} {value:.3f}" for name, value in values.items() if "/" not in name)


def _warnings(method: Method, values: dict[str, float], done: int) -> list[str]:
    try:
        return method.warnings(values)
    except Collapsed as error:
        raise NumericalError(f"step {done}: {error}") from None


def _append(log: IO[str], row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()
