"""Options that several commands share, and what they stand for.

Nothing heavy is imported at the top of any file here: `--help` must answer at once, and torch alone takes seconds.
"""

import contextlib
import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pipelines.engine.torchrun import Place
from pipelines.errors import SomeInputsFailedError, UserError

FOR_SEVERAL_PROCESSES = ("sim2real segment train", "sim2real segment predict", "sim2real translate run")
"""Commands that torchrun may start several times at once."""

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator."""

    def apply(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return apply


A_PATH = click.Path(path_type=Path)
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
                 help="auto is bf16 on a GPU, fp32 on a CPU."),
    click.option("--threads", type=click.IntRange(1), default=None, help="CPU threads.  [default: all]"),
)  # fmt: skip
restart_option = click.option(
    "--restart", is_flag=True, help="Set aside (rename) what was made with other settings or data."
)
training_options = options(
    machine_options,
    click.option("--workers", type=click.IntRange(0), default=1, show_default=True, help="Processes that read ahead."),
    restart_option,
)
frame_by_frame_options = options(
    machine_options,
    click.option("--workers", type=click.IntRange(0), default=2, show_default=True,
                 help="Threads that read ahead and write behind."),
    click.option("--shard", default=None, metavar="I/N",
                 help="Do part I of N; others may be at work beside it.  [default: from torchrun]"),
    restart_option,
    click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing."),
)  # fmt: skip
seed_option = click.option("--seed", type=click.IntRange(0), default=None, help="[default: the config's first]")
seeds_option = click.option(
    "--seeds", type=click.IntRange(1), default=None, help="Use seeds 0 to N-1 instead of the config's."
)
checkpoint_option = click.option(
    "--checkpoint", type=A_PATH, required=True, help="A run folder, or a checkpoints/step-N."
)


def open_workspace(config: Path, data: Path, run: Path | None, overrides: tuple[str, ...]) -> Any:
    """The experiment of a config file, with its folders."""
    from pipelines.experiment.config import read_experiment
    from pipelines.experiment.workspace import Workspace

    experiment = read_experiment(config, overrides)
    return Workspace(experiment, data, run or Path("runs") / experiment.name)


def open_machine(device: str, precision: str, threads: int | None) -> Any:
    """The machine to compute on."""
    from pipelines.engine.launch import choose_machine, use_threads

    use_threads(threads)
    return choose_machine(device, precision)


@contextlib.contextmanager
def joined_machine(device: str, precision: str, threads: int | None) -> Iterator[Any]:
    """The machine to train on, together with the other processes that torchrun started, if it started any."""
    from pipelines.engine.launch import choose_machine, use_threads
    from pipelines.engine.processes import Processes

    use_threads(threads)
    machine = choose_machine(device, precision, Processes.of_environment())
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
        count = Place.of_environment().count
        if name not in FOR_SEVERAL_PROCESSES and count > 1:
            raise UserError(
                f"{name} is made for one process, and RANK and WORLD_SIZE say that a launcher started {count}; start "
                f"it without torchrun, or unset both (made for several: {', '.join(FOR_SEVERAL_PROCESSES)})"
            )
        return run(*values, **options)

    command.callback = alone


@dataclass(frozen=True)
class Comparison:
    """What a command that trains and evaluates a whole experiment was given; `overrides` holds --seeds too."""

    config: Path
    overrides: tuple[str, ...]
    workspace: Any
    device: tuple[str, str, int | None]
    workers: int
    restart: bool

    def machine(self) -> Any:
        """The machine to compute on, asked for when the settings have proved good."""
        return open_machine(*self.device)


def comparing(function: Callable[[Comparison], None]) -> Callable[..., None]:
    """The options of such a command."""

    @experiment_options
    @seeds_option
    @training_options
    @functools.wraps(function)
    def command(
        config: Path, data: Path, run: Path | None, overrides: tuple[str, ...], seeds: int | None,
        device: str, precision: str, threads: int | None, workers: int, restart: bool,
    ) -> None:  # fmt: skip
        # No docstring: the function's own is the command's help.
        if seeds is not None:
            overrides = (*overrides, f"compare.seeds={list(range(seeds))}")
        workspace = open_workspace(config, data, run, overrides)
        function(Comparison(config, overrides, workspace, (device, precision, threads), workers, restart))

    return command


def typed_command() -> str:
    """The command line as the user typed it, for the record."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def first_seed(workspace: Any, seed: int | None) -> int:
    """The seed asked for, else the config's first."""
    return workspace.experiment.compare.seeds[0] if seed is None else seed


def finish_translation(summary: Any, output: Path) -> None:
    """Print the count in = count out line; complain about what failed."""
    click.echo(summary.count_line)
    if summary.failed:
        raise SomeInputsFailedError(f"frames failed: {summary.failed}; {output / 'failures.jsonl'} says which and why")
