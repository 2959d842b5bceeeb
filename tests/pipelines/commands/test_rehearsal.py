"""`--dry-run` of a training: the plan, the first steps, and what became of it."""

import pytest

from pipelines.commands.rehearsal import rehearse
from pipelines.commands.segment import segment_train
from pipelines.commands.translate import translate_train
from pipelines.errors import UserError

FIRST_STEPS = "pipelines.stages.training.first_steps"


@pytest.mark.parametrize(("command", "asked"), [(segment_train, "oracle"), (translate_train, None)])
def test_the_command_says_the_plan_and_what_the_step_took(on_tiny, played, tmp_path, command, asked):
    tried = played(f"{FIRST_STEPS}.try_first_steps", "0.1 s")
    said = on_tiny(command, "--dry-run", *(["--arm", asked] if asked else [])).splitlines()
    assert said[3].startswith("to be trained     ") and ", seed 0: " in said[3]
    kept = f"dry run: two steps were taken and thrown away; {tmp_path / 'run'} is as it was"
    assert said[4:] == ["first steps       0.1 s", kept]
    assert tried.given[0][2] == asked


def test_no_step_is_taken_before_what_it_builds_on_is_there(on_tiny, played):
    tried = played(f"{FIRST_STEPS}.try_first_steps", "0.1 s")
    said = on_tiny(segment_train, "--dry-run").splitlines()
    assert said[-2:] == [
        "first steps       not taken: the translated frames must be made before",
        "dry run: nothing was trained",
    ]
    assert tried.given == []


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="--dry-run is for one process"):
        rehearse(None)
