"""`--dry-run` of a training: the plan, the first step, and the word that nothing was trained."""

import pytest

from pipelines.commands.rehearsal import rehearse
from pipelines.commands.segment import segment_train
from pipelines.commands.translate import translate_train
from pipelines.errors import UserError


@pytest.mark.parametrize(("command", "asked"), [(segment_train, "oracle"), (translate_train, None)])
def test_the_command_says_the_plan_and_what_the_step_took(on_tiny, played, command, asked):
    tried = played("pipelines.stages.training.first_step.try_first_step", "first step  taken")
    said = on_tiny(command, "--dry-run", *(["--arm", asked] if asked else [])).splitlines()
    assert said[3].startswith("to be trained     ") and ", seed 0: " in said[3]
    assert said[4:] == ["first step  taken", "dry run: nothing was trained"]
    assert tried.given[0][2] == asked


def test_several_processes_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="--dry-run is for one process"):
        rehearse(None)
