"""Who a student learns from is told by what lies there; what is missing is named before anything is trained."""

import shutil

import pytest

from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.teachers import teachers_checkpoint, teachers_network, teachers_pairs


@pytest.fixture
def student(make_workspace):
    """A function: a teacher -> a workspace whose translator is its student."""

    def make(teacher):
        return make_workspace(
            "translator={method = 'student', crop = 32, height = 32, patch = 16}", f"translator.teacher={teacher}"
        )

    return make


def test_a_translator_or_a_folder_of_its_frames(student, tiny_run):
    seed = tiny_run / "seed-0"
    checkpoint = seed / "translator/checkpoints/step-00000004"
    assert teachers_checkpoint(student(seed / "translator")) == teachers_checkpoint(student(checkpoint)) == checkpoint
    assert teachers_checkpoint(student(seed / "translated")) is None
    pairs = teachers_pairs(student(seed / "translated"), 0)
    assert [len(one) for one in pairs.translated] == [5]
    with pytest.raises(UserError, match="seed-0/teacher is not there"):  # which the translator has yet to make
        teachers_pairs(student(checkpoint), 0)


def test_what_is_not_there_is_named(student, tmp_path):
    with pytest.raises(UserError, match=r"translator.teacher is missing: name a translator"):
        teachers_checkpoint(student("''"))
    with pytest.raises(UserError, match=r"translator.teacher: .*nowhere is not there"):
        teachers_checkpoint(student(tmp_path / "nowhere"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    with pytest.raises(CheckpointError):
        teachers_checkpoint(student(tmp_path / "run"))


def test_the_network_of_a_teacher_is_the_one_that_made_the_frames(student, tiny_run, tmp_path):
    seed = tiny_run / "seed-0"
    checkpoint = seed / "translator/checkpoints/step-00000004"
    for teacher in (seed / "translator", seed / "translated"):
        found = teachers_network(student(teacher))
        assert found.checkpoint == checkpoint and found.direction == "source_to_target"
    frames = shutil.copytree(seed / "translated", tmp_path / "there/translated")
    with pytest.raises(UserError, match=r"feature_weight needs the teacher's network, and .*translated holds only its"):
        teachers_network(student(frames))
    shutil.copytree(seed / "translator", tmp_path / "there/translator")
    assert teachers_network(student(frames)).checkpoint == tmp_path / "there/translator/checkpoints/step-00000004"
    (frames / "translation.json").write_text('{"checkpoint_sha256": "of another"}')
    with pytest.raises(UserError, match="or set feature_weight to 0"):
        teachers_network(student(frames))
