"""What was written and is no longer so is named, whatever it belongs to; what is whole is found whole."""

import json
import shutil
from pathlib import Path

import pytest

from pipelines.errors import CheckpointError, NoInputsError, SomeInputsFailedError, StorageError, UserError
from pipelines.stages.inspection.verify import Verifiable, count_files, find_verifiable, refuse_damaged, verify


def flip(path):
    """One bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def problems(folder):
    return [str(problem) for subject in find_verifiable(folder) for problem in verify(subject).problems]


@pytest.fixture
def experiment(tiny_run, tmp_path):
    """The first seed of a finished experiment, to be damaged."""
    return Path(shutil.copytree(tiny_run / "seed-0", tmp_path / "seed-0"))


def test_a_whole_experiment_is_found_and_is_whole(experiment):
    subjects = find_verifiable(experiment)
    kinds = [subject.kind for subject in subjects]
    # three segmenters and a translator, each with its last two checkpoints, and one translated set
    assert (kinds.count("run"), kinds.count("checkpoint"), kinds.count("frames")) == (4, 8, 1)
    found = [verify(subject) for subject in subjects]
    # a checkpoint has three files, final.json is one, five frames have an image and a label map each
    assert sum(one.files for one in found) == 4 + 8 * 3 + 10 == count_files(subjects)
    assert [one.problems for one in found if one.problems] == []
    assert found[-1].line.endswith("files, ok")
    refuse_damaged(found)


@pytest.mark.parametrize("name", ["method.safetensors", "optimizers.safetensors", "state.json"])
def test_a_flipped_bit_in_a_checkpoint(experiment, name):
    checkpoint = experiment / "translator/checkpoints/step-00000002"
    flip(checkpoint / name)
    expected = f"{checkpoint / name} has changed since it was written; use an older checkpoint or copy it again"
    assert problems(experiment) == problems(checkpoint) == [expected]
    with pytest.raises(CheckpointError):
        refuse_damaged([verify(Verifiable("checkpoint", checkpoint))])


def test_a_checkpoint_without_its_manifest_or_with_another(experiment):
    checkpoint = experiment / "translator/checkpoints/step-00000004"
    other = experiment / "translator/checkpoints/step-00000002/manifest.json"
    shutil.copy(other, checkpoint / "manifest.json")
    assert any("is not the one that" in problem and "names as the last" in problem for problem in problems(experiment))
    (checkpoint / "manifest.json").unlink()
    found = problems(experiment)
    assert any("step-00000004 is missing, and" in problem for problem in found)
    assert any("is not a checkpoint of sim2real" in problem for problem in found)


def test_a_damaged_final_json(experiment):
    final = experiment / "oracle/final.json"
    for content in ("{", "[]", '{"sha256": "x"}'):
        final.write_text(content)
        assert [problem for problem in problems(experiment / "oracle") if f"{final} cannot be read (" in problem]


def test_frames_that_changed_or_are_gone(experiment):
    images = sorted((experiment / "translated/game/rgb").iterdir())
    flip(images[1])
    images[3].unlink()
    found = verify(Verifiable("frames", experiment / "translated"))
    assert found.files == 10 and found.line.endswith("10 files, damaged: 2")
    assert [str(problem).partition(";")[0] for problem in found.problems] == [
        f"{images[1]} has changed since it was written",
        f"{images[3]} is missing",
    ]
    with pytest.raises(SomeInputsFailedError, match=r"has changed.*; and 1 more, listed above"):
        refuse_damaged([found])


def test_a_manifest_whose_line_is_damaged_or_leads_outside(experiment):
    manifest = experiment / "translated/manifest.jsonl"
    first, *rest = manifest.read_text().splitlines()
    entry = json.loads(first) | {"image": "../../../etc/passwd"}
    for line in (first[:40], json.dumps(entry)):
        manifest.write_text("\n".join([line, *rest]))
        (problem,) = verify(Verifiable("frames", experiment / "translated")).problems
        assert isinstance(problem, SomeInputsFailedError) and f"{manifest}:1: damaged line" in str(problem)
        assert count_files(find_verifiable(experiment / "translated")) == 1


def test_the_manifest_itself_stands_for_its_folder(experiment):
    manifest = experiment / "translated/manifest.jsonl"
    assert find_verifiable(manifest) == find_verifiable(manifest.parent)
    checkpoint = experiment / "oracle/checkpoints/step-00000003"
    assert find_verifiable(checkpoint / "manifest.json") == [Verifiable("checkpoint", checkpoint)]


def test_a_file_that_the_disk_does_not_give_is_the_disks_fault(experiment, monkeypatch):
    def fails(path):
        raise StorageError(f"{path}: cannot read: Input/output error")

    monkeypatch.setattr("pipelines.stages.inspection.verify.sha256_of", fails)
    with pytest.raises(StorageError, match="Input/output error"):
        refuse_damaged([verify(Verifiable("checkpoint", experiment / "oracle/checkpoints/step-00000003"))])


def test_what_cannot_be_verified(experiment, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoInputsError, match="holds nothing that can be verified; expected a checkpoint"):
        find_verifiable(tmp_path / "empty")
    with pytest.raises(UserError, match="nowhere does not exist"):
        find_verifiable(tmp_path / "nowhere")
    (experiment / "translated/manifest.jsonl").rename(experiment / "translated/.journal.jsonl")
    with pytest.raises(NoInputsError, match=r"translated is not finished: it has no manifest\.jsonl yet"):
        find_verifiable(experiment / "translated")


def test_every_file_is_told_to_the_progress(experiment):
    reached = []
    verify(Verifiable("frames", experiment / "translated"), lambda: reached.append(1))
    assert len(reached) == 10
