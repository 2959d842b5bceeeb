"""Fixtures of all tests of commands."""

from tests.pipelines.commands.typed import on_tiny, played
from tests.pipelines.drawn import drawn, save

__all__ = ["drawn", "on_tiny", "played", "save"]
