"""What both trainings have in common: the precision that a run was begun in, and which checkpoints are kept."""

import json

import pytest
import torch

from pipelines.engine import launch
from pipelines.engine.capabilities import Capabilities
from pipelines.engine.checkpoint_files import list_checkpoints, read_state
from pipelines.engine.launch import Machine, choose_machine
from pipelines.engine.runs import RunFolder
from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.saving import RETENTION
from pipelines.stages.inspection.run_list import describe
from pipelines.stages.inspection.verify import find_verifiable, verify
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.training.training_run import note, resuming_machine
from tests.segment.methods.tester import TinySegmenter


@pytest.fixture
def run(tmp_path):
    """A run of which one step was taken, in bf16."""
    opened = RunFolder(tmp_path / "run", {"stage": "toy"}, restart=False)
    opened.describe_environment(Machine(torch.device("cpu"), "bf16"))
    opened.save(1, TinySegmenter(), {}, {"stage": "toy"})
    yield opened
    opened.close()


def test_a_run_begun_elsewhere_goes_on_as_it_was_begun(run, monkeypatch, capsys):
    monkeypatch.setattr(launch, "capabilities", lambda: Capabilities(("avx2",)))
    assert resuming_machine(run, choose_machine("cpu")).precision == "bf16"
    assert "was begun in bf16 and goes on so, though fp32 is the faster here" in capsys.readouterr().err


def test_a_precision_asked_for_by_name_stays_for_the_loop_to_refuse(run):
    assert resuming_machine(run, choose_machine("cpu", "fp32")).precision == "fp32"


def test_a_fresh_run_takes_the_machines_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(launch, "capabilities", lambda: Capabilities(("avx2", "amx_bf16")))
    fresh = RunFolder(tmp_path / "run", {"stage": "toy"}, restart=False)
    assert resuming_machine(fresh, choose_machine("cpu")).precision == "bf16"
    assert not capsys.readouterr().err
    fresh.close()


def test_other_files_than_a_run_was_begun_with_are_refused_in_words(tmp_path):
    assert note(tmp_path, "instance_maps", None) and not note(tmp_path, "instance_maps", None)
    with pytest.raises(UserError, match=rf"\(instance_maps: none then, {'a' * 12}… now\); make them what they were"):
        note(tmp_path, "instance_maps", "a" * 64)


@pytest.mark.parametrize(
    ("stage", "train"),
    [
        ("translator", train_translator),
        ("segmenter", lambda workspace, seed, session: train_segmenter(workspace, seed, "source_only", session)),
    ],
)
def test_what_is_kept_is_the_experiments_to_say_and_decides_nothing_else(make_workspace, cpu, stage, train):
    """Saved after 0, 2, 4 and 5 steps; 2 and 4 are for ever, 5 is the newest."""
    length = (f"{stage}.steps=5",)
    kept = (f"{stage}.keep_checkpoints=1", f"{stage}.keep_checkpoint_every=2")
    run = train(make_workspace(*length, *kept), 0, Session(cpu))
    names = ["step-00000005", "step-00000004", "step-00000002"]
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == names
    assert not RETENTION & json.loads((run / "config.json").read_text())["settings"].keys()
    assert not RETENTION & read_state(run / "checkpoints/step-00000005")["about"]["settings"].keys()
    told = [line for line in describe(run) if line.startswith("checkpoint ")]
    assert [line.split()[1].rstrip(":") for line in told] == names and all(line.endswith("intact") for line in told)
    verified = [verify(subject) for subject in find_verifiable(run)]
    assert [subject.files for subject in verified] == [1, 3, 3, 3] and not any(one.problems for one in verified)
    assert train(make_workspace(*length), 0, Session(cpu)) == run, "a run goes on with other settings of these"
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == names
