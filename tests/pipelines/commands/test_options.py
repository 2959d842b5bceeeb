"""Values that options take, and how they reach a function."""

import ast
from pathlib import Path

import click
import pytest

import pipelines
from pipelines.commands.options import A_FOLDER, A_PATH, Amount


@pytest.mark.parametrize("typed", ["nan", "inf", "-inf", "0", "-25"])
def test_a_rate_is_a_number_of_its_range(typed):
    with pytest.raises(click.BadParameter, match=r"^[^\n]* range 0\.01<=x<=1000\.?$"):
        Amount(0.01, 1000).convert(typed, None, None)
    assert Amount(0.01, 1000).convert("29.97", None, None) == 29.97


def test_a_path_may_begin_at_home_though_the_shell_left_it_so(monkeypatch):
    """As of --output=~/x, which would otherwise be a folder called ~."""
    monkeypatch.setenv("HOME", "/home/me")
    for kind in (A_PATH, A_FOLDER):
        assert kind.convert("~/x", None, None) == Path("/home/me/x")
        assert kind.convert("./~/x", None, None) == Path("./~/x")
        assert kind.convert("~nobody-of-this-name", None, None) == Path("~nobody-of-this-name")


MOST = 8
"""Arguments of a function. More than a person keeps apart: two of one type get swapped and nobody sees it."""


@pytest.mark.parametrize("folder", ["commands", "stages"])
def test_nothing_is_handed_a_dozen_arguments(folder):
    """What belongs together travels together: `Request`, `gathered` for commands, `Session`, `JobControl` below."""
    where = Path(pipelines.__file__).parent / folder
    for path in sorted(where.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            # But for `with_request`, where options become a `Request`.
            if isinstance(node, ast.FunctionDef) and node.name != "with_request":
                given = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
                place = f"{path.relative_to(where.parent)}:{node.lineno} {node.name}"
                assert given <= MOST, f"{place} takes {given} arguments; hand over what belongs together as one object"
