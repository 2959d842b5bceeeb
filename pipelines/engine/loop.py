"""The one loop: it runs every method of both stages and knows none by name.

Each step is a function of (state, seed, step): the batch is drawn by step number, learning rates follow from the step,
and torch's generator is seeded from (seed, step) before the method draws from it. So resuming needs no more than the
last checkpoint, and gives the same bits as if nothing had happened.

A step from which nothing can be learnt, since a loss or gradient is no number, is passed over: training goes back to
the last checkpoint and comes as far again, without that step. Which steps these are is kept in the run folder.

Several processes take every step together, each on its part of the batch. One of them leads: it writes.
"""

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor, nn

from pipelines.data.sampling.random_keys import key_number
from pipelines.data.sampling.workers import lost_workers_named
from pipelines.engine.checkpoints import load_into
from pipelines.engine.launch import BrokenOff, Machine, StopRequest, make_deterministic
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.runs import SKIPPED, RunFolder
from pipelines.errors import Interrupted, NumericalError, UserError
from pipelines.progress import Progress
from segment.adaptation.guards import Collapsed
from segment.methods.method import Method

MOST_SKIPPED = 3
"""Steps of a run that are passed over because what they teach is no number; one more ends it."""
REMEDY = "Lower the learning rate, or look at the frames of this step with `sim2real data check`"


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
        Interrupted: A signal asked to stop (`StopRequest`); a checkpoint was saved, or the last one is kept where a
            step must be passed over.
        NumericalError: What is learnt is no number, and was none after MOST_SKIPPED steps had been passed over; or the
            method says that it has collapsed. The last checkpoint is from before.
        StorageError: The disk failed; the last checkpoint is whole.
        UserError: A process that makes batches was killed or crashed.
    """
    make_deterministic(machine.deterministic)
    method.to(machine.device, memory_format=method.memory_format(machine.device)).train()
    training = _Training(method, batches, run, schedule, machine, about, what)
    skipped, stop = run.skipped(), StopRequest()
    while (done := training.begin()) < schedule.steps:
        try:
            with lost_workers_named(what, str(run.path)):
                training.go_on(done, skipped, stop)
            return
        except NoNumber as error:
            if len(skipped) >= MOST_SKIPPED:
                raise NumericalError(
                    f"{error}; the last checkpoint is from before, and {MOST_SKIPPED} steps were passed over already "
                    f"({run.path / SKIPPED}). {REMEDY}"
                ) from None
            skipped = run.skip(error.step, str(error))
            print(
                f"{what}: {error}; back to the last checkpoint, this step is passed over ({len(skipped)} of "
                f"{MOST_SKIPPED} such steps)",
                file=machine.processes.stderr(),
            )
            if machine.processes.any(bool(stop)):
                raise Interrupted(
                    f"{stop.signal_name or 'a signal'} at step {error.step} of {schedule.steps}: the last checkpoint "
                    f"is kept in {run.path}; the same command carries on"
                ) from None


@dataclass
class _Training:
    """What `train` was given, and the optimizers: all that a beginning, a step and the end of one need."""

    method: Method
    batches: Callable[[int, int], Generator[Any, None, None]]
    run: RunFolder
    schedule: Schedule
    machine: Machine
    about: dict[str, Any]
    what: str

    def __post_init__(self) -> None:
        self.optimizers = self.method.optimizers()
        # As the method made them: what a checkpoint brings are those of its step.
        self.rates = {name: [group["lr"] for group in one.param_groups] for name, one in self.optimizers.items()}

    def begin(self) -> int:
        """Bring the method, in every process, to where the newest checkpoint is, made if there is none; the steps
        taken.
        """
        done, run, processes = 0, self.run, self.machine.processes
        if processes.leads:
            damaged: list[str] = []
            newest = run.newest(damaged.append)
            done = load_into(newest, self.method, self.optimizers) if newest else 0
            for problem in damaged:
                print(f"{problem.partition(';')[0]}; going on from step {done}", file=processes.stderr())
            if 0 < done < self.schedule.steps:
                run.refuse_other_precision(self.machine)
            if done < self.schedule.steps:
                run.describe_environment(self.machine)
            if done == 0:
                # The state before the first step: what a kill before the first checkpoint falls back to, and a test of
                # the disk.
                run.save(0, self.method, self.optimizers, self.about)
        done = processes.from_leader(done)
        if not processes.leads:
            checkpoint = run.checkpoint(done)
            if not checkpoint.is_dir():
                raise UserError(
                    f"{checkpoint}: seen by process 0 alone; choose a --run on a disk that all machines share"
                )
            load_into(checkpoint, self.method, self.optimizers)
        return done

    def go_on(self, done: int, skipped: Collection[int], stop: StopRequest) -> None:
        """Take the steps after `done` but those that are `skipped` (counted from 1), until `stop` is asked for.

        Raises:
            NoNumber: A step must be passed over, whether or not a stop was asked for; else as `train`.
        """
        run, schedule, processes, saved = self.run, self.schedule, self.machine.processes, done
        with _collapse_named(done):
            self.method.recall(run.logged("metrics.jsonl", done))
        with contextlib.ExitStack() as stack:
            stack.enter_context(stop.listening())
            metrics = stack.enter_context(run.open_log("metrics.jsonl", done))
            timings = stack.enter_context(run.open_log("timings.jsonl", done))
            progress = stack.enter_context(Progress(self.what, schedule.steps, "step", done, processes.stderr()))
            started = time.monotonic()
            stream = stack.enter_context(contextlib.closing(self.batches(done, schedule.steps)))
            for step in range(done, schedule.steps):
                batch = _next(stream, stop)
                waited = time.monotonic() - started
                if processes.any(bool(stop)):  # all leave after the same step
                    break
                batch = batch.to(self.machine.device)
                done = step + 1
                losses = self.take_step(batch, step) if done not in skipped else None
                if losses is not None and (done % schedule.log_every == 0 or done == schedule.steps):
                    values = processes.mean({name: value.item() for name, value in losses.items()})
                    _append(metrics, {"step": done, **values})
                    _append(timings, {"step": done, "seconds": time.monotonic() - started, "waited": waited})
                    progress.reach(done, headline(values))
                    with _collapse_named(done):
                        lines = self.method.warnings(values)
                    for line in lines:
                        progress.say(f"{self.what}, step {done}: {line}")
                if done % schedule.preview_every == 0 or done == schedule.steps:
                    self.preview(done, skipped, batch)
                if done % schedule.checkpoint_every == 0 or done == schedule.steps:
                    self.save(done, skipped, metrics, timings)
                    saved = done
                started = time.monotonic()
            if saved < done:
                self.save(done, skipped, metrics, timings)
            if processes.any(bool(stop)):
                raise Interrupted(
                    f"{stop.signal_name or 'a signal'} at step {done} of {schedule.steps}: checkpoint saved in "
                    f"{run.path}; the same command carries on"
                )

    def take_step(self, batch: Any, step: int) -> dict[str, Tensor]:
        """Learn from a batch, at the rates of the step (counted from 0); what the method tells of it."""
        processes = self.machine.processes
        torch.manual_seed(key_number(self.schedule.seed, "step", step))
        scale = self.method.learning_rate_scale(step)
        for name, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[name], strict=True):
                group["lr"] = rate * scale

        try:
            with self.machine.autocast():
                losses = self.method.step(batch, PerformedUpdate(self.optimizers, step, processes, self.method))
        except NoNumber as error:
            if spoilt := _no_numbers_in(batch):
                raise NoNumber(f"{error}: the batch's {spoilt} holds values that are none", error.step) from None
            raise
        return losses | self.method.observed()

    def preview(self, done: int, skipped: Collection[int], batch: Any) -> None:
        """Pictures after `done` steps. NoNumber as of `save`; of a step that is passed over there are none then."""
        torch.manual_seed(key_number(self.schedule.seed, "preview", done))
        images = self.method.preview(batch)
        if done in skipped:  # its batch alone may be to blame
            with contextlib.suppress(NumericalError):
                self.run.preview(done, images)
            return
        self._written(done, skipped, lambda: self.run.preview(done, images))

    def save(self, done: int, skipped: Collection[int], *logs: IO[str]) -> None:
        """A checkpoint after `done` steps. NoNumber, of the last step that was learnt from, if weights hold none."""
        self._written(done, skipped, lambda: self.run.save(done, self.method, self.optimizers, self.about, *logs))

    def _written(self, done: int, skipped: Collection[int], write: Callable[[], None]) -> None:
        """Have the leader write; where it finds what is no number, all processes hear of it."""
        problem = ""
        try:
            write()
        except NumericalError as error:
            problem = str(error).rstrip(".")
        if not self.machine.processes.any(bool(problem)):
            return
        learnt = next((one for one in range(done, 0, -1) if one not in skipped), None)
        if learnt is None:
            raise NumericalError(problem or f"process 0 found what is no number at step {done}")
        raise NoNumber(problem, learnt)


def _next(stream: Iterator[Any], stop: StopRequest) -> Any:
    """The next batch; None where a signal came first."""
    with contextlib.suppress(BrokenOff), stop.breaking_off():
        return next(stream)


def _no_numbers_in(batch: Any, name: str = "") -> str:
    """Which tensor of a batch, a dataclass of tensors and such dataclasses, holds what is no number; "" for none."""
    if isinstance(batch, Tensor):
        return "" if bool(batch.isfinite().all()) else name
    if not dataclasses.is_dataclass(batch):
        return ""
    parts = ((f"{name}.{field.name}".lstrip("."), getattr(batch, field.name)) for field in dataclasses.fields(batch))
    return next(filter(None, (_no_numbers_in(value, of_part) for of_part, value in parts)), "")


class NoNumber(NumericalError):
    """What is learnt from a step (counted from 1) is no number: training can go back and pass it over."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step


class PerformedUpdate:
    """How a method's step learns, as `segment.methods.method.Update` promises it.

    Args:
        optimizers: By name; no gradient that was left behind counts.
        step: The step (0-based), told in errors.
        processes: Whose gradients are averaged.
        method: Whose parameters are named in errors.
    """

    def __init__(
        self,
        optimizers: dict[str, torch.optim.Optimizer],
        step: int,
        processes: Processes = ALONE,
        method: nn.Module | None = None,
    ) -> None:
        self._optimizers, self._step, self._processes, self._method = optimizers, step, processes, method
        self._unchecked: list[tuple[str, Tensor]] = []
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)

    def backward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        torch.stack([value.float() for value in losses.values()]).sum().backward()
        found = {name: value.detach() for name, value in losses.items()}
        self._unchecked += found.items()
        return found

    def step(self, *optimizers: str) -> None:
        """Learn, unless a loss or gradient is no number: nothing of it reaches a weight."""
        for name in optimizers:
            self._share_doubts(self._optimizers[name])
            self._processes.average_gradients(self._optimizers[name])
        self._refuse_what_is_no_number([self._optimizers[name] for name in optimizers])
        for name in optimizers:
            self._optimizers[name].step()
            self._optimizers[name].zero_grad(set_to_none=True)
        # Autocast keeps bf16 copies of weights until the step ends; a method may use these weights again before that.
        torch.clear_autocast_cache()

    def __call__(self, optimizer: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self.backward(losses)
        self.step(optimizer)
        return found

    def _share_doubts(self, optimizer: torch.optim.Optimizer) -> None:
        """Let all processes refuse what one of them must: its loss that is no number makes the mean gradient none."""
        if self._processes.world_size == 1 or not self._unchecked:
            return
        doubt = torch.stack([value.float() for _, value in self._unchecked]).sum() * 0  # 0, or no number
        gradient = next(iter(_gradients(optimizer)), None)
        if gradient is not None:
            gradient += doubt.to(gradient.dtype)

    def _refuse_what_is_no_number(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """One wait for the device in each update, however many terms and weights there are."""
        names = [f'loss "{name}"' for name, _ in self._unchecked]
        values = [value.float() for _, value in self._unchecked]
        self._unchecked = []
        for optimizer in optimizers:
            if gradients := _gradients(optimizer):
                # 18 ms for 42 million weights on one core; the largest magnitude takes 131.
                norms = torch._foreach_norm(gradients)
                names.append("")
                values.append(torch.stack([norm.float() for norm in norms]).sum())
        for name, value in zip(names, torch.stack(values).tolist() if values else (), strict=True):
            if math.isfinite(value):
                continue
            found = f"{name} is {value}" if name else self._spoilt_gradient(optimizers)
            if found:  # else squares of finite gradients were too large for the norm
                raise NoNumber(f"{found} at step {self._step + 1}", self._step + 1)

    def _spoilt_gradient(self, optimizers: Sequence[torch.optim.Optimizer]) -> str:
        """The first gradient that is no number, in words; "" for none."""
        known = {} if self._method is None else {id(value): name for name, value in self._method.named_parameters()}
        for optimizer in optimizers:
            for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    return f"the gradient of {known.get(id(parameter), 'a weight')} is no number"
        return ""


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    parameters = (parameter for group in optimizer.param_groups for parameter in group["params"])
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def headline(values: dict[str, float]) -> str:
    """What is shown beside the progress: all but families of values ("pseudo_share/car"), which the log alone keeps."""
    return " ".join(f"{name} {value:.3f}" for name, value in values.items() if "/" not in name)


@contextlib.contextmanager
def _collapse_named(done: int) -> Iterator[None]:
    """What a method says of a collapse, as the error that ends a run after so many steps."""
    try:
        yield
    except Collapsed as error:
        raise NumericalError(f"step {done}: {error}") from None


def _append(log: IO[str], row: dict[str, Any]) -> None:
    log.write(json.dumps(row) + "\n")
    log.flush()
