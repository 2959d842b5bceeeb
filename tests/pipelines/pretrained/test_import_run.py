"""The run folder that an import leaves: written once, kept if it is the same import, set aside when asked."""

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.engine.checkpoint_files import resolve_checkpoint
from pipelines.errors import UserError
from pipelines.pretrained.import_run import write_run


def written(run, imported, restart=False):
    """The last file of the run folder after an import of a network of one weight."""
    write_run(run, {"stage": "translator", "seed": 0, "imported": imported}, nn.Linear(1, 1, bias=False), restart)
    return (run / "final.json").read_bytes()


def test_the_folder_holds_one_checkpoint_of_step_0(tmp_path):
    run = tmp_path / "run"
    assert json.loads(written(run, {"G.pth": "1"}))["checkpoint"] == "checkpoints/step-00000000"
    assert json.loads((run / "config.json").read_text())["imported"] == {"G.pth": "1"}
    assert (run / "environment.json").exists()
    assert load_file(resolve_checkpoint(run) / "method.safetensors")["weight"].shape == torch.Size([1, 1])


def test_the_same_import_is_left_as_it_is_and_another_refused_or_set_aside(tmp_path):
    run = tmp_path / "run"
    before = written(run, {"G.pth": "1"})
    weights = (resolve_checkpoint(run) / "method.safetensors").read_bytes()
    assert written(run, {"G.pth": "1"}) == before
    assert (resolve_checkpoint(run) / "method.safetensors").read_bytes() == weights  # not drawn anew
    with pytest.raises(UserError, match=r"holds a run with other settings.*--restart"):
        written(run, {"G.pth": "2"})
    written(run, {"G.pth": "2"}, restart=True)
    assert json.loads((run / "config.json").read_text())["imported"] == {"G.pth": "2"}
    assert (tmp_path / "run.replaced-1/final.json").read_bytes() == before
