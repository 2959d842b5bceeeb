"""What an experiment depends on, by content: a changed byte is noticed whatever times say, a touched file is not."""

import json
import os
import shutil

import pytest

from pipelines.data.frames import open_frame_set
from pipelines.data.images import write_image
from pipelines.errors import NoInputsError, StorageError
from pipelines.experiment.config import read_experiment
from pipelines.experiment.workspace import HashCache, Workspace, arm_shares


def flip_a_byte(path):
    """Change one byte in the middle, keep size, mtime and atime."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.fixture
def own_frames(tiny_config, tmp_path):
    """An experiment whose frames may be changed: (workspace maker, folder of the frames)."""
    frames = shutil.copytree(tiny_config.parent / "frames", tmp_path / "frames")
    config = tmp_path / "own.toml"
    config.write_text(tiny_config.read_text().replace(str(tiny_config.parent / "frames"), str(frames)))

    def make(*overrides):
        return Workspace(read_experiment(config, overrides), tmp_path, tmp_path / "run")

    return make, frames


# --- fingerprints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["rgb/000002.png", "semantic/000002.png"])
def test_a_changed_byte_changes_the_fingerprint_even_with_size_and_time_restored(own_frames, file):
    make, frames = own_frames
    before = make().fingerprint(make().source)
    flip_a_byte(frames / "game" / file)
    assert make().fingerprint(make().source) != before


def test_touched_and_copied_files_do_not_change_it(own_frames):
    make, frames = own_frames
    before = make().fingerprint(make().source)
    for path in (frames / "game").rglob("*.png"):
        os.utime(path)
    content = (frames / "game/rgb/000000.png").read_bytes()
    (frames / "game/rgb/000000.png").unlink()
    (frames / "game/rgb/000000.png").write_bytes(content)
    assert make().fingerprint(make().source) == before


def test_names_order_and_the_reading_of_labels_count(own_frames):
    make, frames = own_frames
    workspace = make()
    prints = [workspace.fingerprint(sets) for sets in (workspace.source, workspace.target, workspace.validation)]
    prints.append(make("source.0.frames=4").fingerprint(make("source.0.frames=4").source))
    (frames / "game/rgb/000004.png").rename(frames / "game/rgb/000009.png")
    (frames / "game/semantic/000004.png").rename(frames / "game/semantic/000009.png")
    as_carla = {"reader": "carla", "name": "game", "root": str(frames / "game")}
    for version in ("0.9.12", "0.9.14"):
        config = frames.parent / f"{version}.toml"
        other = make().experiment.model_dump(mode="json") | {"source": [as_carla | {"version": version}]}
        config.write_text(json.dumps(other["source"]))
        experiment = type(make().experiment).model_validate(other)
        sets = [open_frame_set(one, frames) for one in experiment.source]
        prints.append(workspace.fingerprint(sets))
    assert len(set(prints)) == len(prints)


# --- the cache of hashes ------------------------------------------------------------------------------------------


def count_hashing(monkeypatch):
    from pipelines.experiment import workspace

    hashed, real = [], workspace.sha256_of
    monkeypatch.setattr(workspace, "sha256_of", lambda path: hashed.append(path) or real(path))
    return hashed


def test_nothing_is_hashed_twice(make_workspace, monkeypatch):
    hashed = count_hashing(monkeypatch)
    first = make_workspace().fingerprint(make_workspace().source)
    assert len(hashed) == 10
    assert make_workspace().fingerprint(make_workspace().source) == first
    assert len(hashed) == 10


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"PATH": 3}', b'{"PATH": []}', b'{"PATH": ["a", "b"]}']
)
def test_a_damaged_cache_is_computed_again(make_workspace, monkeypatch, damage):
    expected = make_workspace().fingerprint(make_workspace().source)
    cache = make_workspace().run / ".hashes.json"
    image = make_workspace().source[0].frames[0].image
    cache.write_bytes(damage.replace(b"PATH", str(image).encode()))
    hashed = count_hashing(monkeypatch)
    assert make_workspace().fingerprint(make_workspace().source) == expected
    assert len(hashed) == 10
    assert len(json.loads(cache.read_bytes())) == 10


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"frame\.png"):
        HashCache(tmp_path / "cache.json").of(tmp_path / "frame.png")


def test_an_unchanged_cache_is_not_written(tmp_path):
    (tmp_path / "file").write_text("a")
    cache = HashCache(tmp_path / "cache.json")
    cache.of(tmp_path / "file")
    cache.save()
    before = (tmp_path / "cache.json").stat().st_mtime_ns
    again = HashCache(tmp_path / "cache.json")
    again.of(tmp_path / "file")
    again.save()
    assert (tmp_path / "cache.json").stat().st_mtime_ns == before


# --- what stages depend on ------------------------------------------------------------------------------------------


def changed_inputs(make, *overrides):
    """Of which stages an override changes the inputs, with seed 0."""
    before, after = make(), make(*overrides)
    parts = {"translator": lambda workspace: workspace.translator_inputs(0)}
    for arm in ("source_only", "translated", "oracle"):
        parts[arm] = lambda workspace, arm=arm: workspace.segmenter_inputs(0, arm)
    parts["report"] = lambda workspace: workspace.report_inputs()
    return [name for name, inputs in parts.items() if inputs(before) != inputs(after)]


ARMS = ["source_only", "translated", "oracle"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("translator.cycle_weight=5.0", ["translator", "translated", "report"]),
        ("translation.height=16", ["translated", "report"]),
        ("segmenter.learning_rate=0.5", [*ARMS, "report"]),
        ("source.0.frames=4", ["translator", "source_only", "translated", "report"]),
        ("target.0.frames=3", ["translator", "translated", "oracle", "report"]),
        ("validation.0.frames=3", ["report"]),
        ("name=other", []),
    ],
)
def test_a_setting_changes_the_inputs_of_the_stages_that_it_reaches(make_workspace, override, expected):
    assert changed_inputs(make_workspace, override) == expected


def test_shares_of_the_translated_net_do_not_reach_the_other_arms(make_workspace):
    overrides = ("segmenter.shares.translated=0.5", "segmenter.shares.source=0.5")
    assert changed_inputs(make_workspace, *overrides) == ["translated", "report"]


def test_seeds_and_arms_have_inputs_of_their_own(make_workspace):
    inputs = [make_workspace().segmenter_inputs(seed, arm) for seed in (0, 1) for arm in ARMS]
    assert len({json.dumps(one, sort_keys=True) for one in inputs}) == 6


def test_arm_shares(make_workspace):
    mixed = make_workspace("segmenter.shares.translated=0.7", "segmenter.shares.target=0.3").experiment
    assert arm_shares(mixed, "source_only") == {"translated": 0.0, "source": 1.0, "target": 0.0}
    assert arm_shares(mixed, "oracle") == {"translated": 0.0, "source": 0.0, "target": 1.0}
    assert arm_shares(mixed, "translated") == {"translated": 0.7, "source": 0.0, "target": 0.3}


# --- folders ------------------------------------------------------------------------------------------


def test_every_seed_has_its_own_folders(make_workspace):
    workspace = make_workspace("compare.seeds=[3, 4]")
    run = workspace.run
    assert workspace.translator(4) == run / "seed-4/translator"
    assert workspace.translated(4) == run / "seed-4/translated"
    assert workspace.segmenter(4, "oracle") == run / "seed-4/oracle"
    assert workspace.segmenter(4, "source_only") == run / "seed-4/source_only"
    assert workspace.segmenter(4, "translated") == run / "seed-4/translated_net"


def test_one_translator_serves_every_seed(make_workspace):
    workspace = make_workspace("compare.seeds=[3, 4]", "compare.one_translator=true")
    assert workspace.translator(4) == workspace.translator(3) == workspace.run / "seed-3/translator"
    assert workspace.translated(4) == workspace.run / "seed-3/translated"
    assert workspace.segmenter(4, "oracle") == workspace.run / "seed-4/oracle"
    assert workspace.segmenter_inputs(4, "translated")["frames"]["translator"] == workspace.translator_inputs(3)
    assert workspace.segmenter_inputs(4, "translated")["seed"] == 4


def test_toy_world_is_drawn_into_the_run_folder(make_workspace):
    workspace = make_workspace("source.0.root=''", "source.0.frames=2")
    assert len(workspace.source[0]) == 2
    assert (workspace.run / "frames/toyworld-game-64x32-seed1/rgb/000001.png").exists()


# --- labels ------------------------------------------------------------------------------------------


def test_of_a_set_only_the_labelled_frames_serve_the_segmenter(own_frames):
    make, frames = own_frames
    as_carla = {"reader": "carla", "name": "game", "root": str(frames / "game"), "version": "0.9.14"}
    unlabelled = {
        "reader": "folder",
        "name": "photographs",
        "root": str(frames / "photographs"),
        "images": "{name}.png",
    }
    write_image(frames / "photographs/0.png", make().source[0].read_image(0))
    (frames / "game/semantic/000003.png").unlink()
    content = make().experiment.model_dump(mode="json") | {"source": [as_carla, unlabelled], "target": [unlabelled]}
    workspace = Workspace(type(make().experiment).model_validate(content), frames, frames.parent / "run")
    assert [len(one) for one in workspace.source] == [5, 1]
    assert [frame.name for frame in workspace.labelled_source[0].frames] == ["000000", "000001", "000002", "000004"]
    assert len(workspace.labelled_source) == 1 and workspace.labelled_target == []
    for label in (frames / "game/semantic").iterdir():
        label.unlink()
    workspace = Workspace(workspace.experiment, frames, frames.parent / "run")
    with pytest.raises(NoInputsError, match="no source frame has a label map"):
        _ = workspace.labelled_source
