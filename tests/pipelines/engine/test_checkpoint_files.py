"""Checkpoints as files: told whole from damaged, and by one hash, without reading a tensor."""

import errno
import json
import os
from pathlib import Path

import pytest

from pipelines.data.disk.files import sha256_of
from pipelines.engine.checkpoint_files import (
    FORMAT,
    Retention,
    checkpoint_hash,
    is_finished,
    list_checkpoints,
    newest_checkpoint,
    read_hashes,
    read_state,
    resolve_checkpoint,
    step_of,
    verify_checkpoint,
)
from pipelines.errors import CheckpointError, StorageError


def written(folder, step, form=FORMAT):
    """A checkpoint whose tensors nobody will read."""
    checkpoint = folder / f"step-{step:08d}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "method.safetensors").write_bytes(os.urandom(64))
    (checkpoint / "optimizers.safetensors").write_bytes(os.urandom(64))
    (checkpoint / "state.json").write_text(json.dumps({"format": form, "step": step, "about": {}, "optimizers": {}}))
    hashes = {file.name: sha256_of(file) for file in sorted(checkpoint.iterdir())}
    (checkpoint / "manifest.json").write_text(json.dumps(hashes))
    return checkpoint


@pytest.fixture
def saved(tmp_path):
    return written(tmp_path, 2)


def test_one_hash_for_all_files(saved, tmp_path):
    assert verify_checkpoint(saved).keys() == {"method.safetensors", "optimizers.safetensors", "state.json"}
    assert checkpoint_hash(saved) == sha256_of(saved / "manifest.json")
    assert checkpoint_hash(written(tmp_path / "other", 2)) != checkpoint_hash(saved)


def test_a_run_folder_means_its_newest_one(tmp_path):
    for step in (9, 10):
        written(tmp_path / "run/checkpoints", step)
    assert resolve_checkpoint(tmp_path / "run").name == "step-00000010"
    (tmp_path / "empty/checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="holds no checkpoint yet; train first"):
        resolve_checkpoint(tmp_path / "empty")


def test_an_experiments_folder_names_its_run_folders(tmp_path):
    runs = [tmp_path / "seed-0" / f"arm{number}" for number in range(7)]
    for run in runs:
        written(run / "checkpoints", 2)
    (tmp_path / "seed-0/begun/checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=f" is no run folder but holds 7: {runs[0]}, .*{runs[5]}, …; name the"):
        resolve_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=f"seed-0 is no run folder but holds 7: {runs[0]}, "):
        resolve_checkpoint(tmp_path / "seed-0")
    with pytest.raises(CheckpointError, match=r"arm0/checkpoints is not a checkpoint of sim2real: expected a folder"):
        resolve_checkpoint(runs[0] / "checkpoints")


def test_a_newer_format_is_refused(tmp_path):
    assert read_state(written(tmp_path, 1))["step"] == 1
    with pytest.raises(CheckpointError, match=f"has format {FORMAT + 1}, this version reads {FORMAT}; update sim2real"):
        read_state(written(tmp_path, 2, FORMAT + 1))


@pytest.mark.parametrize("name", ["method.safetensors", "optimizers.safetensors", "state.json"])
def test_a_flipped_bit_is_noticed(saved, name):
    file = saved / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name} has changed"):
        verify_checkpoint(saved)


def test_a_missing_file_is_noticed(saved):
    (saved / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"state\.json is missing"):
        verify_checkpoint(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"../../secret": "0" * 64}, r"it names '../../secret', no file beside it"),
        ({"/etc/passwd": "0" * 64}, "no file beside it"),
        ({"..": "0" * 64}, "no file beside it"),
        ({"state.json": None}, r"it leaves out state\.json"),
    ],
)
def test_a_manifest_speaks_of_the_files_beside_it_and_of_all_that_are_read(saved, change, message):
    """Else a manifest from elsewhere would have any file of this machine read, or vouch for one that it never saw."""
    hashes = json.loads((saved / "manifest.json").read_text()) | change
    (saved / "manifest.json").write_text(json.dumps({name: value for name, value in hashes.items() if value}))
    with pytest.raises(CheckpointError, match=message):
        read_hashes(saved)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b"3"])
def test_a_manifest_that_is_none(saved, content):
    (saved / "manifest.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"manifest\.json is damaged \("):
        verify_checkpoint(saved)


@pytest.mark.parametrize(("read", "name"), [(newest_checkpoint, "manifest"), (read_state, "state")])
def test_a_disk_out_of_reach_is_no_damage(saved, monkeypatch, read, name):
    """Else training would go back to an older one, which is the next to be out of reach."""

    def out_of_reach(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", out_of_reach)
    with pytest.raises(StorageError, match=rf"{name}\.json: cannot read: Input/output error"):
        read(saved if name == "state" else saved.parent)


def test_the_newest_intact_one_is_found(tmp_path):
    for step in (2, 3):
        written(tmp_path, step)
    (tmp_path / ".step-00000004.17.part").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000003", "step-00000002"]
    (tmp_path / "step-00000003" / "state.json").write_text("{}")
    damaged = []
    assert newest_checkpoint(tmp_path, damaged.append).name == "step-00000002"
    assert damaged == [
        f"{tmp_path}/step-00000003: state.json has changed since it was written; use an older one or copy it again"
    ]
    (tmp_path / "step-00000002" / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match="no checkpoint is intact"):
        newest_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (b"[]", "holds a list, expected an object"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"format": 1, "step": "2"}', "its step is missing or of another kind"),
        (b'{"format": 1, "step": 2, "about": []}', "its about is missing or of another kind"),
        (b'{"format": 1, "step": 2, "about": {}}', "its optimizers is missing or of another kind"),
    ],
)
def test_a_state_that_is_none_is_refused(saved, state, message):
    (saved / "state.json").write_bytes(state)
    with pytest.raises(CheckpointError, match=message):
        read_state(saved)


@pytest.mark.parametrize("content", [None, "folder", "file"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "thing"
    if content == "folder":
        path.mkdir()
    if content == "file":
        path.write_bytes(os.urandom(100))
    with pytest.raises(CheckpointError, match=r"step-"):
        resolve_checkpoint(path)


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retention", "kept"),
    [
        (Retention(), [5, 6]),
        (Retention(newest=1), [6]),
        (Retention(newest=9), [0, 1, 2, 3, 4, 5, 6]),
        (Retention(newest=1, every=2), [2, 4, 6]),  # the state before the first step is no second step
        (Retention(newest=3, every=3), [3, 4, 5, 6]),
        (Retention(newest=2, every=100), [5, 6]),
    ],
)
def test_the_newest_and_every_nth_are_kept(tmp_path, retention, kept):
    for step in range(7):
        (tmp_path / f"step-{step:08d}").mkdir()
    dropped = retention.dropped(tmp_path, tmp_path / "step-00000006")
    assert sorted(set(range(7)) - set(map(step_of, dropped))) == kept


def test_a_checkpoint_that_may_be_damaged_takes_no_place_of_one_that_is_not(tmp_path):
    """Training went back from 8 and 9, which are damaged, to 5, and has come to 6."""
    for step in (4, 5, 6, 8, 9):
        (tmp_path / f"step-{step:08d}").mkdir()
    dropped = Retention(newest=2).dropped(tmp_path, tmp_path / "step-00000006")
    assert [path.name for path in dropped] == ["step-00000004"]


def test_a_run_is_finished_when_its_last_word_is_there(tmp_path):
    assert not is_finished(tmp_path / "missing") and not is_finished(tmp_path)
    (tmp_path / "final.json").write_text("{}")
    assert is_finished(tmp_path)
