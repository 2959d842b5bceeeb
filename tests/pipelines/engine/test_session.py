"""The session belongs to the machine and the moment: harmless unless told otherwise, and unknown to what decides."""

import ast
import dataclasses
from pathlib import Path

import pytest

from pipelines.engine.session import Session

ROOT = Path(__file__).parents[3]


def test_nothing_is_set_aside_and_no_process_started_unless_asked_for(cpu):
    session = Session(cpu)
    assert (session.workers, session.restart, session.command) == (0, False, "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        session.restart = True


def test_what_decides_an_outcome_knows_of_no_session():
    """Two machines that are given one experiment with other workers or another command line make the same run."""
    paths = sorted((ROOT / "pipelines/experiment").glob("*.py"))
    assert len(paths) > 10, "the walk over the files is broken"
    for path in paths:
        imported = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        assert "pipelines.engine.session" not in imported, f"{path.name}: hand over what it needs as an argument"
