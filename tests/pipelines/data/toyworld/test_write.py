"""Toy world's frames must be reproducible, streets of two looks, and readable as the data sets they imitate."""

import json
from importlib.resources import files

import numpy as np
import pytest

from pipelines.data.images import read_raw
from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.write import draw_frame, draw_toy_world, frame_paths
from pipelines.errors import UserError

RENDERERS = ("game", "camera")
SMALL = (64, 32)


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("size", [(128, 64), (300, 160), (97, 51)])
def test_a_frame_has_the_requested_size(renderer, size):
    image, train_ids = draw_frame(renderer, 0, 0, size)
    assert image.shape == (size[1], size[0], 3) and image.dtype == np.uint8
    assert train_ids.shape == (size[1], size[0]) and train_ids.dtype == np.uint8


@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_frame_is_a_function_of_seed_and_index(renderer):
    image, train_ids = draw_frame(renderer, 3, 5, SMALL)
    draw_frame(renderer, 3, 6, SMALL)  # another frame in between must not matter
    again, same_ids = draw_frame(renderer, 3, 5, SMALL)
    assert np.array_equal(image, again) and np.array_equal(train_ids, same_ids)
    for seed, index in ((3, 6), (4, 5)):
        assert not np.array_equal(train_ids, draw_frame(renderer, seed, index, SMALL)[1])


@pytest.mark.parametrize("renderer", RENDERERS)
def test_the_street_has_the_classes_and_shares_of_a_street(renderer):
    counts = sum(np.bincount(draw_frame(renderer, 0, index, (128, 64))[1].ravel(), minlength=19) for index in range(12))
    shares = counts / counts.sum()
    assert len(counts) == 19, "train ids above 18"
    assert (counts > 0).sum() >= 14
    expected = {
        TrainId.ROAD: (0.22, 0.42),
        TrainId.BUILDING: (0.15, 0.32),
        TrainId.VEGETATION: (0.07, 0.22),
        TrainId.SKY: (0.04, 0.18),
        TrainId.SIDEWALK: (0.02, 0.1),
        TrainId.CAR: (0.02, 0.14),
    }
    for train_id, (low, high) in expected.items():
        assert low < shares[train_id] < high, train_id.name


def test_the_renderers_share_no_scene():
    game = [draw_frame("game", 0, index, SMALL)[1] for index in range(6)]
    camera = [draw_frame("camera", 0, index, SMALL)[1] for index in range(6)]
    agreement = max(float((ours == theirs).mean()) for ours in game for theirs in camera)
    assert agreement < 0.9, "a game scene and a camera scene look the same"


def test_the_same_scene_at_two_sizes_shows_the_same_street():
    _, small = draw_frame("game", 0, 1, (64, 32))
    _, large = draw_frame("game", 0, 1, (192, 96))
    assert (large[1::3, 1::3] == small).mean() > 0.9


@pytest.mark.parametrize("renderer, size, message", [("film", SMALL, "game, camera"), ("game", (8, 64), "at least 16")])
def test_wrong_requests_are_refused(renderer, size, message):
    with pytest.raises(ValueError, match=message):
        draw_frame(renderer, 0, 0, size)


def test_the_gap_is_wide():
    """Mean colour of the road differs by far more between the renderers than within one."""
    means = {}
    for renderer in RENDERERS:
        frames = [draw_frame(renderer, 0, index, SMALL) for index in range(4)]
        means[renderer] = np.array([image[ids == TrainId.ROAD].mean(axis=0) for image, ids in frames])
    between = np.abs(means["game"].mean(axis=0) - means["camera"].mean(axis=0)).max()
    assert between > 20
    assert between > means["camera"].std(axis=0).max()


# --- on disk ----------------------------------------------------------------------------------------------------------


def native_table(name: str) -> np.ndarray:
    """Train id by stored value, from the label tables of the repository; 255 elsewhere."""
    tables = json.loads(files("pipelines.data").joinpath("label_maps.json").read_text())
    table = np.full(256, 255, np.uint8)
    for value, row in tables[name]["ids"].items():
        if int(value) >= 0:
            table[int(value)] = row["train_id"]
    return table


@pytest.mark.parametrize("renderer, table", [("game", "carla_0.9.14_and_later"), ("camera", "cityscapes")])
def test_what_is_written_reads_back_as_drawn(tmp_path, renderer, table):
    done = []
    draw_toy_world(tmp_path, renderer, 2, SMALL, seed=9, progress=done.append)
    assert done == [1, 2]
    for index in range(2):
        image_path, label_path = frame_paths(tmp_path, renderer, index)
        image, train_ids = draw_frame(renderer, 9, index, SMALL)
        assert np.array_equal(read_raw(image_path), image)
        stored = read_raw(label_path)
        if renderer == "game":
            assert not stored[..., 1:].any(), "CARLA's tag is in the red channel alone"
            stored = stored[..., 0]
        assert np.array_equal(native_table(table)[stored], train_ids)


def test_the_layouts_are_carlas_and_cityscapes(tmp_path):
    draw_toy_world(tmp_path / "game", "game", 1, SMALL)
    draw_toy_world(tmp_path / "camera", "camera", 1, SMALL)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == [
        "camera/gtFine/train/toyworld/toyworld_000000_000019_gtFine_labelIds.png",
        "camera/leftImg8bit/train/toyworld/toyworld_000000_000019_leftImg8bit.png",
        "camera/toyworld.json",
        "game/rgb/000000.png",
        "game/semantic/000000.png",
        "game/toyworld.json",
    ]


def test_drawing_again_continues_and_leaves_finished_frames_alone(tmp_path):
    draw_toy_world(tmp_path, "game", 2, SMALL)
    first, _ = frame_paths(tmp_path, "game", 0)
    broken_off, label = frame_paths(tmp_path, "game", 1)
    before, expected = first.stat().st_mtime_ns, broken_off.read_bytes()
    broken_off.unlink()
    draw_toy_world(tmp_path, "game", 3, SMALL)
    assert first.stat().st_mtime_ns == before
    assert broken_off.read_bytes() == expected and label.exists()
    assert frame_paths(tmp_path, "game", 2)[0].exists()


@pytest.mark.parametrize("change", [{"size": (64, 48)}, {"seed": 5}, {"renderer": "camera"}])
def test_another_drawing_in_the_folder_is_refused(tmp_path, change):
    drawing = {"renderer": "game", "size": SMALL, "seed": 4}
    draw_toy_world(tmp_path, frames=1, **drawing)
    with pytest.raises(UserError, match=r'another drawing of toy world: \{"renderer": "game", "seed": 4'):
        draw_toy_world(tmp_path, frames=2, **drawing | change)
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_frames_of_an_earlier_look_are_not_mixed_with_those_of_this_one(tmp_path):
    """What names no version was drawn before there were any."""
    (tmp_path / "toyworld.json").write_text('{"renderer": "game", "seed": 0, "size": [64, 32]}\n')
    with pytest.raises(UserError, match=r'seed": 0, "size": \[64, 32\]\}, and asked for is .*, "version": [2-9]'):
        draw_toy_world(tmp_path, "game", 1, SMALL)
    assert not list(tmp_path.rglob("*.png"))


def test_processes_draw_the_same_bytes(tmp_path):
    for workers in (1, 2):
        draw_toy_world(tmp_path / str(workers), "camera", 2, SMALL, workers=workers)
    pictures = [sorted((tmp_path / name).rglob("*.png")) for name in ("1", "2")]
    assert len(pictures[0]) == 4
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(*pictures, strict=True))
