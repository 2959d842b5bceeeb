"""Of several processes that a launcher started, a command that is made for one refuses all."""

import click
import pytest

from pipelines.cli import cli
from pipelines.commands.several_processes import FOR_SEVERAL_PROCESSES, refuse_several_processes
from pipelines.errors import UserError


@pytest.fixture
def launched(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


def command_called(name):
    """A command below two groups, as it is once the rule is laid on it."""
    command = click.Command(name.split()[-1], callback=lambda: "done")
    group = click.Group(name.split()[1], commands=[command])
    refuse_several_processes(group, "sim2real " + name.split()[1])
    return command.callback


def test_one_process_may_run_any_command():
    assert command_called("sim2real translate experiment")() == "done"


def test_several_may_run_those_alone_that_are_made_for_it(launched):
    assert command_called("sim2real segment train")() == "done"
    with pytest.raises(UserError, match=r"^sim2real translate experiment is made for one process, .* started 2; start"):
        command_called("sim2real translate experiment")()


@pytest.mark.parametrize("name", FOR_SEVERAL_PROCESSES)
def test_the_commands_that_are_named_are_there(name):
    found = cli
    for word in name.split()[1:]:
        found = found.commands[word]
    assert isinstance(found, click.Command)
