"""What an experiment's frames are, by content: a changed byte is noticed whatever times say, a touched file is not."""

import itertools
import json
import os
import re
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines import progress
from pipelines.data.decoding import decode
from pipelines.data.disk import hashes
from pipelines.data.disk.hashes import HashCache
from pipelines.data.disk.ownership import try_lock
from pipelines.data.frames import open_frame_set
from pipelines.data.images import write_image
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.readers.folder import FolderSettings
from pipelines.engine.session import Session
from pipelines.errors import ImageError, NoInputsError
from pipelines.experiment import opened_sets
from pipelines.experiment.experiment import Experiment
from pipelines.experiment.identity import segmenter_inputs, translator_inputs
from pipelines.stages.comparison.compare import compare


def fingerprint(workspace):
    """The fingerprint of the source frames."""
    return workspace.sets.fingerprint(workspace.source)


def flip_a_byte(path):
    """Change one byte in the middle, keep size, mtime and atime."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


# --- drawing ------------------------------------------------------------------------------------------------


def test_of_several_processes_one_draws_what_is_missing(make_workspace, monkeypatch):
    """While it does, the others come no further; where all is there, nobody waits for anybody."""
    lock, alone, draw = make_workspace().run / ".frames.lock", [], ToyWorldSettings.draw

    def drawing(settings, data, progress):
        with open(lock, "ab") as other:
            alone.append(not try_lock(other))
        draw(settings, data, progress)

    monkeypatch.setattr(ToyWorldSettings, "draw", drawing)
    for frames in (2, 3, 2):
        workspace = make_workspace("source.0.root=''", f"source.0.frames={frames}").by_name
        assert len(workspace.source[0]) == frames
    assert alone == [True, True, False]


# --- fingerprints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["rgb/000002.png", "semantic/000002.png"])
def test_a_changed_byte_changes_the_fingerprint_even_with_size_and_time_restored(own_frames, file):
    make, frames = own_frames
    before = fingerprint(make())
    flip_a_byte(frames / "game" / file)
    assert fingerprint(make().by_name) != before  # by name: the flip may have damaged the file


def test_touched_and_copied_files_do_not_change_it(own_frames):
    make, frames = own_frames
    before = fingerprint(make())
    for path in (frames / "game").rglob("*.png"):
        os.utime(path)
    content = (frames / "game/rgb/000000.png").read_bytes()
    (frames / "game/rgb/000000.png").unlink()
    (frames / "game/rgb/000000.png").write_bytes(content)
    assert fingerprint(make()) == before


def test_names_order_and_the_reading_of_labels_count(own_frames):
    make, frames = own_frames
    workspace = make()
    prints = [workspace.sets.fingerprint(sets) for sets in (workspace.source, workspace.target, workspace.validation)]
    prints.append(fingerprint(make("source.0.frames=4")))
    (frames / "game/rgb/000004.png").rename(frames / "game/rgb/000009.png")
    (frames / "game/semantic/000004.png").rename(frames / "game/semantic/000009.png")
    as_carla = {"reader": "carla", "name": "game", "root": str(frames / "game")}
    for version in ("0.9.12", "0.9.14"):
        other = make().experiment.model_dump(mode="json") | {"source": [as_carla | {"version": version}]}
        sets = [open_frame_set(one, frames) for one in Experiment.model_validate(other).source]
        prints.append(workspace.sets.fingerprint(sets))
    assert len(set(prints)) == len(prints)


# --- nothing is done twice ------------------------------------------------------------------------------------------


def count_hashing(monkeypatch):
    hashed, real = [], hashes.sha256_of
    monkeypatch.setattr(hashes, "sha256_of", lambda path: hashed.append(path) or real(path))
    return hashed


def test_nothing_is_hashed_twice(make_workspace, monkeypatch):
    hashed = count_hashing(monkeypatch)
    first = fingerprint(make_workspace())
    assert len(hashed) == 10
    assert fingerprint(make_workspace()) == first
    assert len(hashed) == 10


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"PATH": 3}', b'{"PATH": []}', b'{"PATH": ["a", "b"]}']
)
def test_a_damaged_cache_is_computed_again(make_workspace, monkeypatch, damage):
    expected = fingerprint(make_workspace())
    cache = make_workspace().run / ".hashes.json"
    image = make_workspace().source[0].frames[0].image
    cache.write_bytes(damage.replace(b"PATH", str(image).encode()))
    hashed = count_hashing(monkeypatch)
    assert fingerprint(make_workspace()) == expected
    assert len(hashed) == 10
    assert len(json.loads(cache.read_bytes())) == 10


@pytest.fixture
def looked_at(monkeypatch):
    """How often each file was looked at, and each folder of frames opened."""
    counts, of, opened = Counter(), HashCache.of, opened_sets.open_frame_set
    monkeypatch.setattr(HashCache, "of", lambda cache, file: counts.update([file]) or of(cache, file))
    monkeypatch.setattr(
        opened_sets, "open_frame_set", lambda one, root: counts.update([one.folder(root)]) or opened(one, root)
    )
    return counts


def files_of(sets):
    """Images and label maps."""
    return [file for one in sets for frame in one.frames for file in (frame.image, frame.label)]


def test_a_comparison_looks_through_each_set_once(copied_run, make_workspace, cpu, looked_at):
    workspace = make_workspace(run=copied_run)
    compare(workspace, Session(cpu, command="sim2real compare"))
    sets = [*workspace.source, *workspace.target, *workspace.validation]
    assert {looked_at[path] for path in files_of(sets) + [one.root for one in sets]} == {1}


def test_workspaces_beside_each_other_share_what_they_have_in_common(make_workspace, looked_at):
    first = make_workspace()
    other = make_workspace("source.0.frames=4", "translator.steps=2").experiment
    second = first.beside(other, first.run / "other")
    for workspace in (first, second, first.unguided(), second.unguided()):
        for sets in (workspace.source, workspace.labelled_source, workspace.target, workspace.labelled_subset(0)):
            workspace.sets.fingerprint(sets)
    assert second.target[0] is first.target[0] and len(second.source[0]) == 4
    assert {looked_at[file] for file in files_of(first.target) + files_of(second.source)} == {1}


# --- what is left out --------------------------------------------------------------------------------------


def test_frames_in_formats_that_are_not_read_are_named_once(tmp_path, capsys):
    write_image(tmp_path / "mine/a.png", np.zeros((4, 6, 3), np.uint8))
    (tmp_path / "mine/zebra.GIF").touch()
    sets = opened_sets.OpenedSets(tmp_path, tmp_path / "run")
    for _ in range(2):
        (found,) = sets.open([FolderSettings(reader="folder", name="mine", root="mine")])
        assert [frame.name for frame in found.frames] == ["a"]
    said = f"mine: left out, its format is not read: {tmp_path / 'mine/zebra.GIF'}\n"
    assert capsys.readouterr().err == said


# --- bad frames -------------------------------------------------------------------------------------------


def cut_off(image):
    image.write_bytes(image.read_bytes()[:-20])


def test_bad_frames_are_refused_before_anything_is_made_of_the_others(own_frames):
    make, frames = own_frames
    cut_off(frames / "game/semantic/000003.png")
    with pytest.raises(ImageError, match=r"semantic/000003\.png: .*cut off.*bad_frames.*'game'"):
        make().source  # noqa: B018
    assert len(make().by_name.source[0]) == 5


def test_bad_frames_are_left_out_and_part_of_what_decides(own_frames, capsys):
    make, frames = own_frames
    whole = segmenter_inputs(make("source.0.bad_frames=leave_out"), 0, "source_only")
    assert whole == segmenter_inputs(make(), 0, "source_only")
    cut_off(frames / "game/rgb/000003.png")
    workspace = make("source.0.bad_frames=leave_out")
    assert [frame.name for frame in workspace.source[0].frames] == ["000000", "000001", "000002", "000004"]
    assert capsys.readouterr().err.count("game: left out, it cannot be used: ") == 1
    ((name, trouble),) = workspace.sets.unusable["game"].items()
    assert name == "000003" and "rgb/000003.png: the PNG is cut off" in trouble
    inputs = segmenter_inputs(workspace, 0, "source_only")
    assert inputs["unusable"] == {"source": {"game": ["000003"]}}
    assert inputs["frames"]["source"] != whole["frames"]["source"]
    assert translator_inputs(workspace, 0)["unusable"] == inputs["unusable"]
    assert "unusable" not in segmenter_inputs(workspace, 0, "oracle")


def test_every_process_finds_what_the_first_has_looked_at(own_frames, monkeypatch):
    make, _ = own_frames
    first, second = make(), make()  # both begin before either has looked
    assert len(first.source[0]) == 5
    monkeypatch.setattr(decode, "KINDS", {})  # whoever decodes fails
    assert len(second.source[0]) == 5


def test_of_several_processes_the_one_that_looks_says_how_far_it_is(own_frames, monkeypatch, capsys):
    """Whichever comes first; 5 frames, in 10 s each. The one that leads speaks in any case, once it takes so long."""
    make, _ = own_frames
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=itertools.count(step=10.0).__next__))
    monkeypatch.setenv("WORLD_SIZE", "3")
    shown = []
    for rank in (1, 2, 0):
        monkeypatch.setenv("RANK", str(rank))
        assert len(make().source[0]) == 5
        shown.append(set(re.findall("check [a-z]+: 5/5", capsys.readouterr().err)))
    assert shown == [{"check game: 5/5"}, set(), {"check game: 5/5"}]


def test_of_several_processes_the_leader_alone_names_what_is_left_out(own_frames, capsys, monkeypatch):
    make, frames = own_frames
    cut_off(frames / "game/rgb/000003.png")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(make("source.0.bad_frames=leave_out").source[0]) == 4
    assert "left out" not in capsys.readouterr().err


# --- labels without a class -----------------------------------------------------------------------------


@pytest.fixture
def classless(own_frames):
    """An experiment of one's own frames, and a function that makes label maps of a folder show nothing."""
    make, frames = own_frames

    def ignore(folder, value):
        for path in (frames / folder).rglob("*.png"):
            if "leftImg8bit" not in path.name:
                write_image(path, np.full((32, 64), value, np.uint8))

    return make, ignore


def test_source_labels_without_a_class_are_refused_by_whatever_needs_them(classless):
    make, ignore = classless
    ignore("game/semantic", 0)
    workspace = make()
    for asked in (lambda: workspace.labelled_source, lambda: segmenter_inputs(workspace, 0, "source_only")):
        with pytest.raises(NoInputsError, match=r"no label map of game shows a class.*sim2real data check"):
            asked()
    segmenter_inputs(workspace, 0, "oracle")  # learns from others


def test_target_labels_without_a_class_are_refused_by_whatever_needs_them(classless):
    make, ignore = classless
    ignore("camera/gtFine", 0)
    workspace = make()
    for asked in (
        lambda: workspace.labelled_subset(0),
        lambda: workspace.target_labels(0, "oracle"),
        lambda: segmenter_inputs(workspace, 0, "oracle"),
    ):
        with pytest.raises(NoInputsError, match=r"no label map of .* shows a class"):
            asked()
    segmenter_inputs(workspace, 0, "source_only")
    translator_inputs(workspace, 0)
