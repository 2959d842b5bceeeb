"""What scripts rely on: each kind of error has its exit code, and the README lists them all."""

import inspect
import re
from pathlib import Path

import pytest

from pipelines import errors
from pipelines.cli import EXIT_CODES
from pipelines.errors import UserError

README = Path(__file__).parents[2] / "README.md"
# Those that the module defines, not what it imports.
KINDS = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__
}


def test_the_codes_are_those_that_scripts_know():
    codes = {name: kind.exit_code for name, kind in KINDS.items()}
    assert codes == {
        "UserError": 2,
        "BusyError": 2,
        "SomeInputsFailedError": 3,
        "ImageError": 3,
        "NoInputsError": 4,
        "CheckpointError": 5,
        "StorageError": 6,
        "NumericalError": 7,
        "Interrupted": 75,  # EX_TEMPFAIL: what a batch system queues again
    }


def the_readmes_paragraph():
    return README.read_text(encoding="utf-8").split("## Exit codes\n")[1].split("\n## ")[0]


def test_the_readme_lists_every_code():
    paragraph = the_readmes_paragraph()
    listed = {int(code) for code in re.findall(r"(?:^|· |\n)(\d+) [a-zC]", paragraph)}
    assert listed == {0, 130} | {kind.exit_code for kind in KINDS.values()}


def test_the_help_gives_each_code_the_readmes_meaning():
    told = " ".join(EXIT_CODES.split())
    meanings = " ".join(the_readmes_paragraph().split()).rstrip(".").split(" · ")
    assert len(meanings) == 9
    assert [meaning for meaning in meanings if meaning not in told] == []


@pytest.mark.parametrize("name", KINDS)
def test_whatever_a_person_can_mend_is_caught_as_one_kind(name):
    """The command line tells a UserError in one line; what is none is our bug and keeps its traceback."""
    assert issubclass(KINDS[name], UserError) and not issubclass(UserError, OSError | ValueError)
    assert str(KINDS[name]("what, where and the remedy")) == "what, where and the remedy"
