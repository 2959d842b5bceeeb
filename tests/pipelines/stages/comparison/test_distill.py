"""Teacher, frames, student, frames, audits, comparison: once by one command, and then there is nothing to do."""

import json
import math

import pytest

from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.errors import UserError
from pipelines.report.student import SPEED
from pipelines.stages.comparison.distill import Wanted, distill

STUDENT = (
    "student={height = 32, crop = 32, patch = 16, steps = 2, generator_channels = 2, discriminator_channels = 2, "
    "real_patches = 8}"
)


def test_all_is_made_audited_and_told(copied_run, make_workspace, session):
    workspace = make_workspace(STUDENT, run=copied_run)
    study = distill(workspace, 0, session, Wanted(sequence=True, segmenters=True))
    folder = copied_run / "student"
    translated = read_manifest(folder / "seed-0/translated" / MANIFEST)
    assert len(translated) == 5 and all(entry.expert_sha256 for entry in translated)
    assert {path.name for path in (folder / "seed-0").iterdir()} >= {"student.json", "student.md", "student.html"}
    assert not (folder / "seed-0/source_only").exists()  # the comparison's is used

    named = {measure.name.split("@")[0]: measure for measure in study.measures}
    assert {"parameters", SPEED, "mIoU of stage two"} <= named.keys()
    assert all(any(kind in name for name in named) for kind in ("KID-", "edges", "flicker"))
    for name in ("parameters", SPEED, "mIoU of stage two"):
        assert all(math.isfinite(named[name].values[who]) for who in ("teacher", "student"))
    # ResNet-6 of 4 channels: 592 + 296 + 1168, 12 * 2320, 1160 + 292 + 591; the light U-Net of 2: 98 + 132 + 520, 8 *
    # 584, 516 + 258 + 195.
    assert named["parameters"].values == {"teacher": 31_939, "student": 6_391}
    recorded = json.loads((folder / "seed-0/student.json").read_text())
    assert recorded["frames"] == 5 and recorded["expert"].startswith("ddrnet23_slim@")

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("step-*/state.json")}
    again = distill(workspace, 0, session)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("step-*/state.json")} == before
    assert again.of("parameters") == study.of("parameters") and again.of("mIoU of stage two") is None


def test_an_experiment_without_a_student_is_told_what_to_add(make_workspace, session):
    workspace = make_workspace()
    with pytest.raises(UserError, match=r"has no .student. to learn from its translator; add the table"):
        distill(workspace, 0, session)
    assert not workspace.translator(0).exists()


def test_what_the_student_names_from_elsewhere_is_looked_for_before_its_teacher_is_trained(make_workspace, session):
    lost = STUDENT.replace("}", ', perceptual_weight = 1.0, perceptual_weights = "nowhere"}')
    workspace = make_workspace(lost)
    with pytest.raises(UserError, match=r"perceptual_weights: nowhere does not exist"):
        distill(workspace, 0, session)
    assert not workspace.translator(0).exists()
