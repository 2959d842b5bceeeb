"""Fixtures of the tests of imports."""

from tests.pipelines.drawn import drawn, save

__all__ = ["drawn", "save"]
