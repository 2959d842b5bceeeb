"""The source-only network behind teacher and student of the way back: both go the right way, and are told of."""

import json
import math

import pytest

from pipelines.errors import UserError
from pipelines.experiment.arms import ARMS
from pipelines.stages.comparison.distill import Wanted, distill
from pipelines.stages.comparison.real_to_sim import EXPERT, PAIR_SCORE, PAIR_SPEED
from pipelines.stages.evaluation.evaluate import evaluate_checkpoint

STUDENT = (
    "student={height = 32, crop = 32, patch = 16, steps = 2, generator_channels = 2, discriminator_channels = 2, "
    "real_patches = 8, feature_weight = 1}"
)


def test_real_frames_go_to_the_source_only_network_through_teacher_and_student(copied_run, make_workspace, session):
    workspace = make_workspace(STUDENT, run=copied_run)
    study = distill(workspace, 0, session, Wanted(real_to_sim=True))
    score, speed = study.of(PAIR_SCORE).values, study.of(PAIR_SPEED).values
    expert = workspace.segmenter(0, EXPERT)
    assert EXPERT in ARMS and score["source"] == evaluate_checkpoint(workspace, expert, session).mean_iou()
    assert score.keys() == speed.keys() == {"source", "teacher", "student"}
    assert all(0 <= one <= 1 for one in score.values()) and all(0 < one < math.inf for one in speed.values())

    made = json.loads((workspace.student_back(0).teachers_frames(0) / "translation.json").read_text())
    assert made["direction"] == "target_to_source"
    learnt = json.loads((copied_run / "student/target_to_source/seed-0/translator/config.json").read_text())
    assert learnt["settings"]["teacher_direction"] == "target_to_source"
    there = json.loads((copied_run / "student/seed-0/translator/config.json").read_text())
    assert learnt["frames"] == {"source": there["frames"]["target"], "target": there["frames"]["source"]}
    ways = sorted(path.name.split("-")[0] for path in (expert / "evaluation_through").iterdir())
    assert ways == ["source_to_target", "target_to_source"]


def test_each_network_is_timed_at_the_height_at_which_it_is_evaluated(copied_run, make_workspace, session, monkeypatch):
    """Frames are translated 16 pixels high, and the segmenter goes on seeing them at its own height."""
    from pipelines.stages.comparison import real_to_sim

    seen = {"translator": set(), "segmenter": set()}

    class Noted:
        def label_map(self, image, size):
            seen["segmenter"].add((image.shape[-2], size[0]))
            return image

    def translate(image):
        seen["translator"].add(image.shape[-2])
        return image

    monkeypatch.setattr(real_to_sim, "open_runtime", lambda *_: Noted())
    workspace = make_workspace("translation.height=16", run=copied_run)
    expert = workspace.segmenter(0, EXPERT)
    assert real_to_sim._frames_per_second(workspace, expert, session, translate) > 0
    height = workspace.experiment.segmenter.height
    assert seen == {"translator": {16}, "segmenter": {(height, height)}} and height != 16
    assert real_to_sim._frames_per_second(workspace, expert, session, None) > 0 and len(seen["segmenter"]) == 1


def test_a_translator_of_one_way_has_no_way_back(make_workspace, session):
    workspace = make_workspace(STUDENT, "translator={method = 'cut', crop = 32, height = 32}")
    with pytest.raises(UserError, match=r"--real-to-sim: translator.method is cut, which does not .*; choose cyclegan"):
        distill(workspace, 0, session, Wanted(real_to_sim=True))
    assert not workspace.translator(0).exists()
