"""Commands of an experiment as people type them, run in this process; the stage behind them is played by the test."""

import pytest
from click.testing import CliRunner


def typed(command, *arguments):
    """Run a command in this process; errors meant for people are raised. Returns all it wrote."""
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


class Stage:
    """Takes a stage's place: notes what it was given and returns what it was told to."""

    def __init__(self, result):
        self.result, self.given = result, []

    def __call__(self, *arguments):
        self.given.append(arguments)
        return self.result


@pytest.fixture
def played(monkeypatch):
    """A function: dotted name of a stage's function, and what it is to return -> `Stage`."""

    def play(name, result=None):
        stage = Stage(result)
        monkeypatch.setattr(name, stage)
        return stage

    return play


@pytest.fixture
def on_tiny(tiny_config, tmp_path, cpu):
    """A function: a command, and more arguments -> what it wrote, on the miniature experiment."""

    def run(command, *arguments):
        return typed(command, tiny_config, "--run", tmp_path / "run", *arguments)

    return run
