"""What a run began from: found in its own settings and notes, through the runs of the experiment before it."""

import pytest
from safetensors.torch import save_file

from pipelines.data.disk.json_files import write_json
from pipelines.engine.session import Session
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import build_network
from pipelines.stages.comparison import start
from pipelines.stages.comparison.start import start_of
from pipelines.stages.training.train_segmenter import train_segmenter

ONE_STEP = ("segmenter.steps=1", "segmenter.warmup_steps=0")


def test_an_arm_that_goes_on_from_another_has_the_same_start(make_workspace, cpu, tmp_path):
    """Here on this machine: the file is named with the beginning of its hash, whoever continued from it."""
    path = tmp_path / "encoder.safetensors"
    save_file(build_network(make_workspace().experiment.segmenter, 5).state_dict(), path)
    shares = 'segmenter.shares={"translated" = 0.0, "source" = 1.0}'
    settings = (f"segmenter.encoder_weights={path}", "segmenter.initial=source_only", shares, *ONE_STEP)
    workspace = make_workspace(*settings)
    train_segmenter(workspace, 0, "translated", Session(cpu))
    starts = {start_of(workspace, 0, workspace.segmenter(0, arm)) for arm in ("source_only", "translated")}
    digest = workspace.sets.hash_of(path)[:12]
    assert starts == {
        f"encoder weights of encoder.safetensors (sha256 {digest}…) in {workspace.experiment.segmenter.network}"
    }


@pytest.fixture
def told(make_workspace, monkeypatch):
    """A function: settings of runs by their folder, and one of them -> its start."""

    def tell(runs, which):
        workspace = make_workspace()
        settings = {workspace.run / name: SegmenterSettings(**values) for name, values in runs.items()}
        monkeypatch.setattr(start, "resolve_checkpoint", lambda run: run)
        monkeypatch.setattr(start, "settings_in", lambda run, kind: settings[run].model_dump(mode="json"))
        return start_of(workspace, 0, workspace.run / which)

    return tell


def test_a_network_without_weights_of_others_starts_at_random(told):
    assert told({"a": {}}, "a") == "random weights of ddrnet23_slim"


def test_another_network_is_another_start(told):
    runs = {"a": {}, "b": {"network": "lraspp"}}
    assert told(runs, "b") == "random weights of lraspp" != told(runs, "a")


def test_a_run_of_the_same_experiment_hands_its_start_on(told, tmp_path):
    runs = {"a": {"encoder_weights": "torchvision"}, "b": {"initial": str(tmp_path / "run/a")}}
    assert told(runs, "b") == "encoder weights of torchvision in ddrnet23_slim"


def test_a_run_from_elsewhere_is_a_start_of_its_own(told, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    write_json(tmp_path / "run/a/config.json", {"frames": {"initial": "0" * 64}})
    assert told({"a": {"initial": str(elsewhere)}}, "a") == f"the trained network of {elsewhere}"


def test_a_folder_that_was_moved_keeps_its_starts(make_workspace, cpu, tmp_path):
    """Runs note the path of what they began from; after a move it is found by content."""
    first, shares = make_workspace(*ONE_STEP), 'segmenter.shares={"translated" = 0.0, "source" = 1.0}'
    train_segmenter(first, 0, "source_only", Session(cpu))
    initial = f"segmenter.initial={first.segmenter(0, 'source_only')}"
    train_segmenter(make_workspace(initial, shares, *ONE_STEP), 0, "translated", Session(cpu))
    first.run.rename(tmp_path / "moved")
    there = make_workspace(*ONE_STEP, run=tmp_path / "moved")
    assert start_of(there, 0, there.segmenter(0, "translated")) == "random weights of ddrnet23_slim"
