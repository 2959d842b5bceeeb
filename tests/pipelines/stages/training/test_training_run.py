"""A run goes on in the precision that it was begun in."""

import pytest
import torch

from pipelines.engine import launch
from pipelines.engine.capabilities import Capabilities
from pipelines.engine.launch import Machine, choose_machine
from pipelines.engine.runs import RunFolder
from pipelines.stages.training.training_run import resuming_machine
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
    monkeypatch.setattr(launch, "capabilities", lambda: Capabilities(("avx2", "avx512_bf16")))
    fresh = RunFolder(tmp_path / "run", {"stage": "toy"}, restart=False)
    assert resuming_machine(fresh, choose_machine("cpu")).precision == "bf16"
    assert not capsys.readouterr().err
    fresh.close()
