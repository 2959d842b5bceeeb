"""Options that several commands share, and what they stand for.

Nothing heavy is imported at the top of any file here: `--help` must answer at once, and torch alone takes seconds.
"""

import contextlib
import dataclasses
import functools
import math
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError

if TYPE_CHECKING:
    from pipelines.engine.launch import Machine
    from pipelines.engine.processes import Processes
    from pipelines.engine.session import Session
    from pipelines.experiment.workspace import Workspace

FOR_SEVERAL_PROCESSES = (
    *("sim2real segment train", "sim2real segment predict", "sim2real segment evaluate"),
    "sim2real segment features",
    *("sim2real translate train", "sim2real translate run", "sim2real translate audit", "sim2real translate quality"),
)
"""Commands that torchrun may start several times at once."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator."""

    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        """The command with all of them, the first one on top, as `--help` lists them."""
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


def gathered(name: str, kind: type, *decorators: Decorator) -> Decorator:
    """Options that reach a command as one object: `name`, a dataclass `kind` whose fields are called as they are."""
    names = [field.name for field in dataclasses.fields(kind)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        """The command, called with `name` in the place of the options' values."""

        @options(*decorators)
        @functools.wraps(command)
        def gathering(*values: Any, **given: Any) -> Any:
            # No docstring: the command's own is its help.
            own = {key: given.pop(key) for key in names if key in given}
            return command(*values, **given, **{name: kind(**own)})

        return gathering

    return decorate


A_PATH = click.Path(path_type=Path)
A_FILE = click.Path(dir_okay=False, path_type=Path)
A_FOLDER = click.Path(file_okay=False, path_type=Path)

experiment_options = options(
    click.argument("config", type=A_PATH),
    click.option(
        "--data", type=A_FOLDER, default=Path("data"), show_default=True, help="Folder that the sets' roots start from."
    ),
    click.option("--run", type=A_FOLDER, default=None, help="Where everything is written.  [default: runs/NAME]"),
    click.option(
        "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting: translator.steps=200."
    ),
)
machine_options = options(
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, …"),
    click.option("--precision", type=click.Choice(("auto", "fp32", "bf16")), default="auto", show_default=True,
                 help="auto is bf16 on a GPU, fp32 on a CPU; for training bf16 on a CPU where it is faster."),
    click.option("--threads", type=click.IntRange(1), default=None, help="CPU threads.  [default: all]"),
    click.option("--deterministic", is_flag=True,
                 help="On a GPU: the same bits in every run, or an error. On a CPU they are the same anyway."),
)  # fmt: skip
restart_option = click.option(
    "--restart", is_flag=True, help="Set aside (rename) what was made with other settings or data."
)
training_options = options(
    machine_options,
    click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Processes that read ahead."),
    restart_option,
)
training_preview_option = click.option(
    "--dry-run", is_flag=True, help="Say what would be trained and what is there already; train nothing."
)
first_steps_option = click.option(
    "--dry-run", is_flag=True,
    help="Say what would be trained and what is there already, build it all and take two steps; keep nothing.",
)  # fmt: skip
seed_option = click.option("--seed", type=click.IntRange(0), default=None, help="[default: the config's first]")
test_option = click.option(
    "--test",
    "on_test",
    is_flag=True,
    help="Evaluate on the [[test]] frames in the place of the validation frames: once, when all is chosen.",
)
seeds_option = click.option(
    "--seeds", type=click.IntRange(1), default=None, help="Use seeds 0 to N-1 instead of the config's."
)
checkpoint_option = click.option(
    "--checkpoint", type=A_PATH, required=True, help="A run folder, or a checkpoints/step-N."
)


class Numbers(click.ParamType):
    """Numbers above 0, set apart by commas.

    Args:
        name: As `--help` shows the value.
        what: What they are, in an error.
        example: Of them.
    """

    def __init__(self, name: str, what: str, example: str) -> None:
        self.name, self.what, self.example = name, what, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if not numbers or not all(0 < number < float("inf") for number in numbers):
            self.fail(f"{value!r} are no {self.what}; expected numbers above 0, such as {self.example}", param, ctx)
        return numbers


class Amount(click.FloatRange):
    """A number of a range. NaN, which click lets pass since it is beyond no limit, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number; expected one in the range {self._describe_range()}.", param, ctx)
        return number


def several_checkpoints(required: bool = True) -> tuple[Decorator, ...]:
    """--checkpoint, which may be given several times, and --weights; they reach a command as such fields."""
    return (
        click.option(
            "--checkpoint", "checkpoints", type=A_PATH, multiple=True, required=required,
            help="A run folder, or a checkpoints/step-N. Of several the mean of their probabilities.",
        ),
        click.option(
            "--weights", type=Numbers("W,W,…", "weights", "0.7,0.3"), default=None,
            help="How much each --checkpoint counts in that mean.  [default: all alike]",
        ),
    )  # fmt: skip


def refuse_odd_weights(checkpoints: tuple[Path, ...], weights: tuple[float, ...] | None) -> None:
    """UserError where --weights are not one for each of several checkpoints."""
    if weights is not None and (len(checkpoints) < 2 or len(weights) != len(checkpoints)):
        raise UserError(
            f"--weights holds {len(weights)} for {len(checkpoints)} --checkpoint; give one for each of several"
        )


def open_workspace(config: Path, data: Path, run: Path | None, overrides: tuple[str, ...]) -> "Workspace":
    """The experiment of a config file, with its folders."""
    from pipelines.experiment.config import read_experiment
    from pipelines.experiment.workspace import Workspace

    experiment = read_experiment(config, overrides)
    return Workspace(experiment, data, run or Path("runs") / experiment.name)


def open_machine(
    device: str, precision: str, threads: int | None, deterministic: bool = False, processes: Any = None
) -> Any:
    """The machine to compute on; `processes` are those that it computes together with, None for alone."""
    from pipelines.engine.launch import choose_machine, make_deterministic, use_threads
    from pipelines.engine.processes import ALONE

    use_threads(threads)
    machine = choose_machine(device, precision, processes or ALONE, deterministic)
    if deterministic:  # whatever the command does: not all ask for it by themselves
        make_deterministic(strictly=True)
    warn(machine)
    return machine


def warn(machine: "Machine") -> None:
    """One line on stderr if what was asked for is slow here; of several processes the leader says it."""
    if machine.warning and machine.processes.leads:
        click.echo(machine.warning, err=True)


@dataclass(frozen=True)
class MachineOptions:
    """Where to compute, as it was typed; for commands that need no experiment (`gathered`)."""

    device: str
    precision: str = "fp32"
    threads: int | None = None
    deterministic: bool = False

    def open_session(self) -> "Session":
        """How to compute; ask for it when all else has proved good."""
        from pipelines.engine.session import Session

        machine = open_machine(self.device, self.precision, self.threads, self.deterministic)
        return Session(machine, command=typed_command())

    @contextlib.contextmanager
    def joined_session(self) -> Iterator["Session"]:
        """The same, together with the other processes that torchrun started, if it started any."""
        from pipelines.engine.session import Session

        with joined_machine(self.device, self.precision, self.threads, self.deterministic) as machine:
            yield Session(machine, command=typed_command())


@contextlib.contextmanager
def joined_machine(device: str, precision: str, threads: int | None, deterministic: bool = False) -> Iterator[Any]:
    """The machine to compute on, together with the other processes that torchrun started, if it started any."""
    from pipelines.engine.processes import Processes

    machine = open_machine(device, precision, threads, deterministic, Processes.of_environment())
    with machine.processes.joined(machine.device):
        yield machine


def refuse_several_processes(command: click.Command, name: str) -> None:
    """Have a command that is made for one process refuse to run in each of several, all writing the same files.

    Args:
        command: It, or a group: then all below.
        name: As it is typed.
    """
    if isinstance(command, click.Group):
        for below in command.commands.values():
            refuse_several_processes(below, f"{name} {below.name}")
        return
    run = command.callback

    @functools.wraps(run)
    def alone(*values: Any, **options: Any) -> Any:
        # No docstring: the command's own is its help.
        count = ProcessRank.of_environment().world_size
        if name not in FOR_SEVERAL_PROCESSES and count > 1:
            raise UserError(
                f"{name} is made for one process, and RANK and WORLD_SIZE say that a launcher started {count}; start "
                f"it without torchrun, or unset both (made for several: {', '.join(FOR_SEVERAL_PROCESSES)})"
            )
        return run(*values, **options)

    command.callback = alone


@dataclass(frozen=True)
class Request:
    """What a command on an experiment was asked to do: one object instead of a dozen arguments (`on_experiment`)."""

    config: Path
    overrides: tuple[str, ...]
    """What --set changes in the config, and --seeds as one such change."""
    workspace: "Workspace"
    seed: int
    """The seed of --seed, else the config's first."""
    workers: int
    """The number that --workers gives, for what needs no session."""
    open_session: "Callable[[], Session]"

    @functools.cached_property
    def session(self) -> "Session":
        """How to compute; opened when it is first asked for, since settings are to prove good before torch is there."""
        return self.open_session()

    @property
    def processes(self) -> "Processes":
        """Those that do this together; to be alone opens no device."""
        if ProcessRank.of_environment().world_size > 1:
            return self.session.machine.processes
        from pipelines.engine.processes import ALONE

        return ALONE

    def say(self, text: str) -> None:
        """A line or more on stdout; of several processes the leader says it."""
        if self.processes.leads:
            click.echo(text)


def on_experiment(*more: Decorator) -> Decorator:
    """A command on an experiment: it gets a `Request`, and what else is among its options by name.

    Args:
        more: Its options beside those of every experiment. `seed_option` or `seeds_option`, `machine_options` or
            `training_options` reach it within the `Request`, and so does `test_option`, by the workspace.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        """The command with these options, called with a `Request` and its own."""

        @experiment_options
        @options(*more)
        @functools.wraps(command)
        def with_request(
            config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seed: int | None = None,
            seeds: int | None = None, device: str = "auto", precision: str = "auto", threads: int | None = None,
            deterministic: bool = False, workers: int = 0, restart: bool = False, on_test: bool = False, **own: Any,
        ) -> None:  # fmt: skip
            # No docstring: the command's own is its help.
            if seeds is not None:
                overrides = (*overrides, f"compare.seeds={list(range(seeds))}")
            workspace = open_workspace(config, data, run, overrides)
            workspace = workspace.on_test() if on_test else workspace
            with contextlib.ExitStack() as until_done:

                def open_session() -> "Session":
                    """Of all processes that joined; they part when the command is done."""
                    from pipelines.engine.session import Session

                    machine = until_done.enter_context(joined_machine(device, precision, threads, deterministic))
                    return Session(machine, workers, restart, typed_command())

                command(
                    Request(config, overrides, workspace, first_seed(workspace, seed), workers, open_session), **own
                )

        return with_request

    return decorate


def typed_command() -> str:
    """The command line as the user typed it, for the record; as `sim2real`, however the process was started."""
    return shlex.join(["sim2real", *sys.argv[1:]])  # argv[0] may be -c, a file, or the program that calls `main`


def first_seed(workspace: "Workspace", seed: int | None) -> int:
    """The seed asked for, else the config's first."""
    return workspace.experiment.compare.seeds[0] if seed is None else seed
