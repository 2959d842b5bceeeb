"""The first steps of a dry run: what they took, what they lack, and that they leave everything as it was."""

import itertools
import re
import shutil

import pytest

from pipelines.engine.loop import NoNumber
from pipelines.engine.session import Session
from pipelines.errors import NumericalError, UserError
from pipelines.stages.training.first_steps import to_be_made_before, try_first_steps
from pipelines.stages.training.train_segmenter import train_segmenter
from segment.methods.supervised import Supervised

TOOK = r"\d+\.\d s a step(, [\d.]+ (bytes|KB|MB) of memory)?, a checkpoint of [\d.]+ [KM]B; "


def state(folder):
    """Every file with its size and time, links as what they are."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*") if not path.is_dir() and path.name != ".lock"}


@pytest.mark.parametrize(("arm", "loss"), [("oracle", "main"), (None, "adversarial_target")])
def test_a_training_that_is_yet_to_begin(make_workspace, cpu, tmp_path, arm, loss):
    """Its rhythm, a checkpoint after two steps and no more than 10 to a line of the log, does not keep it waiting."""
    said = try_first_steps(make_workspace(), 0, arm, Session(cpu))
    assert re.match(TOOK + loss, said), said
    assert not (tmp_path / "run").exists()


def test_memory_is_that_of_a_step_with_the_optimizers_moments(make_workspace, cpu, monkeypatch):
    """They are made when the first step ends, and every step after it has them beside its activations."""
    moments, step = [], Supervised.step

    def watched(method, batch, update):
        moments.append(any(one.state for one in method.optimizers().values()))
        return step(method, batch, update)

    monkeypatch.setattr(Supervised, "step", watched)
    try_first_steps(make_workspace(), 0, "oracle", Session(cpu))
    assert moments == [False, True]


def test_one_that_builds_on_what_is_there_and_is_finished_itself(make_workspace, cpu, copied_run):
    before = state(copied_run)
    workspace = make_workspace("segmenter.initial=oracle", run=copied_run)
    assert re.match(TOOK, try_first_steps(workspace, 0, "translated", Session(cpu)))
    assert state(copied_run) == before


def test_what_must_be_made_before(make_workspace, copied_run, tmp_path):
    shutil.rmtree(copied_run / "seed-0/translated")
    (copied_run / "seed-0/oracle/final.json").unlink()
    its = make_workspace("segmenter.initial=oracle", run=copied_run)
    assert to_be_made_before(its, 0, "translated") == ["oracle", "the translated frames"]
    assert to_be_made_before(its, 0, "source_only") == []
    guidance = 'translator.guidance={ expert = "source_only", task_weight = 1.0 }'
    guided = make_workspace(guidance, "labelled_target=2", run=tmp_path / "other")
    assert to_be_made_before(guided, 0, None) == ["the expert, source_only"]
    assert not (tmp_path / "other").exists()


def test_a_step_that_is_passed_over_is_what_the_dry_run_ends_with(make_workspace, cpu, monkeypatch, tmp_path):
    """A training goes on after a loss that is no number; of two steps there is nothing else to tell."""

    steps = itertools.count(1)

    def spoilt(*given):
        raise NoNumber('loss "main" is nan', next(steps))

    monkeypatch.setattr(Supervised, "step", spoilt)
    with pytest.raises(NumericalError, match=r'^loss "main" is nan.*; lower the learning rate'):
        try_first_steps(make_workspace(), 0, "oracle", Session(cpu))
    assert not (tmp_path / "run").exists()


def test_pseudo_labels_that_are_chosen_otherwise_are_left_as_they_are(make_workspace, cpu, tmp_path):
    """By a dry run, and by a training that is refused since its folder is that of other settings."""
    cbst = (
        "segmenter.shares={ translated = 0.0, source = 1.0 }",
        'segmenter.teachers=["source_only"]',
        'segmenter.adaptation={ method = "cbst" }',
    )
    run = tmp_path / "run"
    train_segmenter(make_workspace(*cbst, run=run), 0, "translated", Session(cpu))
    before = state(run)
    other = make_workspace(*cbst, "segmenter.adaptation.kept_share=0.4", run=run)
    assert to_be_made_before(make_workspace(*cbst, run=run), 0, "translated") == []
    assert to_be_made_before(other, 0, "translated") == ["the pseudo-labels"]
    with pytest.raises(UserError, match="other settings or data"):
        train_segmenter(other, 0, "translated", Session(cpu))
    assert state(run) == before


def test_what_a_step_fails_of_is_what_the_dry_run_ends_with(make_workspace, cpu, monkeypatch, tmp_path):
    def spoilt(*given):
        raise NumericalError('loss "main" is nan')

    monkeypatch.setattr(Supervised, "step", spoilt)
    with pytest.raises(NumericalError, match="is nan"):
        try_first_steps(make_workspace(), 0, "oracle", Session(cpu))
    assert not (tmp_path / "run").exists()
