"""Frames on disk, as for the machinery that works through them; a translator of layouts, a cache without weights."""

import pytest

from pipelines.engine.session import Session
from pipelines.stages.training import perceptual_loss
from pipelines.stages.training.train_translator import train_translator
from tests.pipelines.batch_inference.conftest import source

__all__ = ["source"]

LAYOUTS = (
    "translator.method=pix2pixhd",
    "translator.generator=local",
    "translator.halvings=2",
    "translator.blocks=1",
    "translator.enhancer_blocks=1",
    "translator.global_steps=1",
    "translator.enhancer_steps=1",
    "translator.style_features=2",
    "translator.style_channels=2",
    "translator.style_halvings=2",
)


@pytest.fixture
def no_cache(monkeypatch, tmp_path):
    """An empty cache of weights."""
    monkeypatch.setattr(perceptual_loss, "torch_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def trained(make_workspace, cpu, no_cache):
    workspace = make_workspace(*LAYOUTS)
    train_translator(workspace, 0, Session(cpu))
    return workspace
