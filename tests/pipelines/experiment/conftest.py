"""An experiment whose frames are a test's own, to be changed, renamed and damaged."""

import shutil

import pytest

from pipelines.experiment.config import read_experiment
from pipelines.experiment.workspace import Workspace


@pytest.fixture
def own_frames(tiny_config, tmp_path):
    """An experiment whose frames may be changed: (workspace maker, folder of the frames)."""
    frames = shutil.copytree(tiny_config.parent / "frames", tmp_path / "frames")
    config = tmp_path / "own.toml"
    config.write_text(tiny_config.read_text().replace(str(tiny_config.parent / "frames"), str(frames)))

    def make(*overrides):
        return Workspace(read_experiment(config, overrides), tmp_path, tmp_path / "run")

    return make, frames
