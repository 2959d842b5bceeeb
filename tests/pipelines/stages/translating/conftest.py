"""Frames on disk, as for the machinery that works through them."""

from tests.pipelines.batch_inference.conftest import source

__all__ = ["source"]
