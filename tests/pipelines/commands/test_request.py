"""What the commands on an experiment share: one object for all that was asked, opened no sooner than needed."""

from dataclasses import dataclass, replace

import click
import pytest
import torch
from click.testing import CliRunner

from pipelines.commands.options import gathered, seed_option, seeds_option, training_options
from pipelines.commands.request import Request, on_experiment
from pipelines.engine.runs import environment
from pipelines.errors import UserError


@pytest.fixture
def ask(tiny_config, tmp_path):
    """A function: options of the command, and arguments -> what the command was given."""

    def given_by(*more, arguments=()):
        given = {}

        @click.command()
        @on_experiment(*more)
        def command(request: Request, **own) -> None:
            """Do it."""
            given.update(request=request, own=own, session=request.session, again=request.session)

        called = [str(tiny_config), "--run", str(tmp_path / "run"), *arguments]
        CliRunner().invoke(command, called, catch_exceptions=False)
        return given

    return given_by


def test_the_experiment_and_where_it_works(ask, tiny_config, tmp_path):
    request = ask(arguments=["--set", "translator.steps=7", "--data", str(tmp_path)])["request"]
    assert request.config == tiny_config and request.overrides == ("translator.steps=7",)
    assert request.workspace.experiment.translator.steps == 7
    assert (request.workspace.data, request.workspace.run) == (tmp_path, tmp_path / "run")


def test_the_session_is_opened_once_and_as_asked(ask):
    arguments = ["--device", "cpu", "--precision", "bf16", "--workers", "3", "--restart"]
    given = ask(training_options, arguments=arguments)
    session = given["session"]
    assert session is given["again"] and not given["own"]
    assert (session.machine.device, session.machine.precision) == (torch.device("cpu"), "bf16")
    assert (session.workers, session.restart) == (3, True) and session.command


@pytest.mark.parametrize("asked", [False, True])
def test_the_same_bits_are_demanded_if_asked_and_the_record_says_so(ask, monkeypatch, asked):
    """Of a GPU, played: on a CPU they are the same anyway, which the record says too."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    arguments = ["--device", "cpu", *(["--deterministic"] if asked else [])]
    machine = ask(training_options, arguments=arguments)["session"].machine
    strict = not torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    assert (machine.deterministic, strict, torch.backends.cudnn.deterministic) == (asked, asked, asked)
    assert machine.for_training().deterministic == asked
    assert environment(machine)["deterministic"]
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
        assert environment(replace(machine, device=torch.device("cuda")))["deterministic"] == asked


@pytest.mark.parametrize(("arguments", "seed"), [((), 5), (("--seed", "2"), 2)])
def test_the_seed_is_the_configs_first_unless_one_is_asked_for(ask, arguments, seed):
    assert ask(seed_option, arguments=["--set", "compare.seeds=[5, 6]", *arguments])["request"].seed == seed


def test_seeds_are_a_setting(ask):
    request = ask(seeds_option, arguments=["--seeds", "3"])["request"]
    assert request.workspace.experiment.compare.seeds == (0, 1, 2) and request.overrides == ("compare.seeds=[0, 1, 2]",)


def test_other_options_reach_the_command_by_name(ask):
    colour = click.option("--colour", default="red")
    assert ask(seed_option, colour)["own"] == {"colour": "red"}
    assert ask(seed_option, colour, arguments=["--colour", "blue"])["own"] == {"colour": "blue"}


def test_settings_prove_good_before_a_machine_is_looked_for(ask):
    with pytest.raises(UserError, match=r"translator\.stepz"):
        ask(training_options, arguments=["--set", "translator.stepz=1", "--device", "nonsense"])
    with pytest.raises(UserError, match="--device nonsense"):
        ask(training_options, arguments=["--device", "nonsense"])


@dataclass(frozen=True)
class Paint:
    colour: str
    coats: int
    thinner: str = "none"


def test_gathered_options_reach_the_command_as_one_object(ask):
    paint = gathered("paint", Paint, click.option("--colour", default="red"), click.option("--coats", default=1))
    name = click.option("--name", default="front door")
    assert ask(paint, name, arguments=["--coats", "2"])["own"] == {"paint": Paint("red", 2), "name": "front door"}
