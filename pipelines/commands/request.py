"""What a command on an experiment was asked to do: one object instead of a dozen arguments."""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.machine import joined_machine, typed_command
from pipelines.commands.options import DATA, Decorator, experiment_options, options
from pipelines.engine.torchrun import ProcessRank

if TYPE_CHECKING:
    from pipelines.engine.processes import Processes
    from pipelines.engine.session import Session
    from pipelines.experiment.workspace import Workspace


def open_workspace(config: Path, data: Path | None, run: Path | None, overrides: tuple[str, ...]) -> "Workspace":
    """The experiment of a config file, with its folders; None: the usual one."""
    from pipelines.experiment.config import read_experiment
    from pipelines.experiment.workspace import Workspace

    experiment = read_experiment(config, overrides)
    return Workspace(experiment, data or DATA, run or Path("runs") / experiment.name)


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
            config: Path, data: Path | None, run: Path | None, overrides: tuple[str, ...], seed: int | None = None,
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


def first_seed(workspace: "Workspace", seed: int | None) -> int:
    """The seed asked for, else the config's first."""
    return workspace.experiment.compare.seeds[0] if seed is None else seed
