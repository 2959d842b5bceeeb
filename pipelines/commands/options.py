"""Options that several commands share, and the kinds of values that they take.

Nothing heavy is imported at the top of any file here: `--help` must answer at once, and torch alone takes seconds.
"""

import dataclasses
import functools
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipelines.errors import UserError

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


class Place(click.Path):
    """A path whose ~ means the home folder, which shells leave as it is in `--output=~/x`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, of the type that was asked for."""
        return super().convert(os.path.expanduser(value), param, ctx)


A_PATH = Place(path_type=Path)
A_FILE = Place(dir_okay=False, path_type=Path)
A_FOLDER = Place(file_okay=False, path_type=Path)
DATA = Path("data")
"""Where --data is left out."""

data_option = click.option(
    "--data", type=A_FOLDER, default=None, help=f"Folder that the sets' roots start from.  [default: {DATA}]"
)

experiment_options = options(
    click.argument("config", type=A_PATH),
    data_option,
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
