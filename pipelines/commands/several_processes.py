"""Which commands a launcher may start in several processes at once: the others refuse to write the same files twice."""

import functools
from typing import Any

import click

from pipelines.engine.torchrun import ProcessRank
from pipelines.errors import UserError

FOR_SEVERAL_PROCESSES = (
    *("sim2real segment train", "sim2real segment predict", "sim2real segment evaluate"),
    "sim2real segment features",
    *("sim2real translate train", "sim2real translate run", "sim2real translate audit", "sim2real translate quality"),
)
"""Commands that torchrun may start several times at once."""


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
