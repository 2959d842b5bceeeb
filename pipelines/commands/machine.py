"""Where a command computes, as it was typed: opened when all else has proved good, since torch takes seconds."""

import contextlib
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.engine.launch import Machine
    from pipelines.engine.session import Session


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


def typed_command() -> str:
    """The command line as the user typed it, for the record; as `sim2real`, however the process was started."""
    return shlex.join(["sim2real", *sys.argv[1:]])  # argv[0] may be -c, a file, or the program that calls `main`
