"""`sim2real translate`: its training, the translation of an experiment, and what is said of frames that failed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.batch_inference.plan import PlannedFrame
from pipelines.batch_inference.record import Failure
from pipelines.batch_inference.work import Outcome
from pipelines.commands.translate import translate, translate_distill, translate_experiment_command, translate_train
from pipelines.errors import SomeInputsFailedError, UserError
from pipelines.report.student import Measure, StudentStudy
from pipelines.stages.comparison.distill import Wanted

FRAME = PlannedFrame("a", Path("a.png"), Path("a.png"), Path("a.png"))
TRANSLATE = "pipelines.stages.translating.translate_experiment.translate_experiment"


def test_the_translator_of_the_seed_is_trained(on_tiny, played):
    trained = played("pipelines.stages.training.train_translator.train_translator", "runs/x")
    assert on_tiny(translate_train, "--seed", 4) == "translator in runs/x\n"
    ((workspace, seed, session),) = trained.given
    assert seed == 4 and workspace.experiment.name == "tiny" and not session.restart


def test_what_became_of_the_frames_is_told(on_tiny, played):
    translated = played(TRANSLATE, Outcome(3, 2, (), "translated"))
    assert on_tiny(translate_experiment_command) == "5 frames in = 5 frames out (3 translated, 2 already there)\n"
    assert translated.given[0][1] == 0


def test_frames_that_failed_end_the_command_with_their_number(on_tiny, played, tmp_path):
    played(TRANSLATE, Outcome(3, 1, (Failure(FRAME, "a.png: is cut off"),), "translated"))
    with pytest.raises(SomeInputsFailedError, match="frames failed: 1;"):
        on_tiny(translate_experiment_command)


def test_a_student_is_held_beside_its_teacher(on_tiny, played):
    measures = [Measure("parameters", "", {"teacher": 2, "student": 1})]
    made = played(
        "pipelines.stages.comparison.distill.distill",
        StudentStudy("tiny", "c", "d", "m", {}, "v", {}, seed=0, frames=3, expert="", measures=measures),
    )
    said = on_tiny(translate_distill, "--sequence", "--real-to-sim", "--set", "student.generator=pyramid")
    assert "| parameters | – | 2 | 1 |  |" in said and "student/seed-0/student.html" in said
    assert made.given[0][1] == 0 and made.given[0][3] == Wanted(sequence=True, real_to_sim=True)
    on_tiny(translate_distill, "--segmenters", "--seed", 2, "--set", "student.generator=pyramid")
    assert made.given[1][1] == 2 and made.given[1][3] == Wanted(segmenters=True)


def test_a_dry_run_of_a_student_says_the_plan(on_tiny, played, tmp_path):
    made = played("pipelines.stages.comparison.distill.distill")
    said = on_tiny(translate_distill, "--dry-run", "--real-to-sim", "--set", "student.generator=pyramid").splitlines()
    assert said[3].startswith("to be trained     translator, seed 0: cyclegan, 4 steps") and "student" in said[-2]
    assert said[-1] == "dry run: nothing was trained" and made.given == [] and not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"--real-to-sim: translator\.method is cut"):
        on_tiny(translate_distill, "--dry-run", "--real-to-sim", "--set", "translator={ method = 'cut' }")


def test_all_that_is_done_with_a_translator_is_found_here():
    assert {"train", "experiment", "run", "audit", "quality"} <= translate.commands.keys()


@pytest.mark.parametrize("command", ["audit", "quality"])
def test_a_folder_is_no_page_and_is_refused_before_any_frame_is_scored(tiny_config, tmp_path, command):
    arguments = [command, str(tiny_config), "--run", str(tmp_path / "run"), "--output", str(tmp_path)]
    ended = CliRunner().invoke(translate, arguments)
    assert ended.exit_code == 2 and "is a directory" in ended.output
    assert not (tmp_path / "run").exists()
