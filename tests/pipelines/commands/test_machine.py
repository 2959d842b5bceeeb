"""Where a command computes, and what the record says that was typed."""

import sys

import pytest

from pipelines.commands.machine import typed_command


@pytest.mark.parametrize("program", ["/usr/bin/sim2real", "-c", "nightly.py"])
def test_the_command_on_record_can_be_typed_again(monkeypatch, program):
    monkeypatch.setattr(sys, "argv", [program, "compare", "mine.toml", "--set", "compare.seeds=[1, 2]"])
    assert typed_command() == "sim2real compare mine.toml --set 'compare.seeds=[1, 2]'"
