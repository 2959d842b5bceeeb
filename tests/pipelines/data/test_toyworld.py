"""The toy world must be reproducible, geometrically right and readable as the data sets it imitates."""

import json
from importlib.resources import files

import numpy as np
import pytest

from pipelines.data.images import read_raw
from pipelines.data.toyworld.camera import FINISHES as CAMERA_FINISHES
from pipelines.data.toyworld.game import FINISHES as GAME_FINISHES
from pipelines.data.toyworld.ground import ground_material
from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.lens import compress_blocks
from pipelines.data.toyworld.materials import Material, finish_table
from pipelines.data.toyworld.raster import NO_FACE, View, draw_faces, empty_surfaces
from pipelines.data.toyworld.scene import camera_rotation, draw_scene
from pipelines.data.toyworld.street import UP, FaceList, StreetPlan
from pipelines.data.toyworld.visible import halve_labels, see
from pipelines.data.toyworld.write import draw_frame, draw_toy_world, frame_paths
from pipelines.errors import UserError

RENDERERS = ("game", "camera")
SMALL = (64, 32)
EAST, NORTH = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])


def straight_ahead(distortion: float = 0.0) -> View:
    return View(np.array([0.0, 1.5, 0.0]), camera_rotation(0, 0, 0), focal=0.5, distortion=distortion)


def face_list() -> FaceList:
    return FaceList(eye=np.array([0.0, 1.5, 0.0]), sun=np.array([0.0, 1.0, 0.0]))


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


# --- on disk ----------------------------------------------------------------------------------------------------------


def native_table(name: str) -> np.ndarray:
    """Train id by stored value, from the label tables of the repository; 255 elsewhere."""
    tables = json.loads(files("pipelines.data.labels").joinpath("label_maps.json").read_text())
    table = np.full(256, 255, np.uint8)
    for value, row in tables[name]["ids"].items():
        if int(value) >= 0:
            table[int(value)] = row["train_id"]
    return table


@pytest.mark.parametrize("renderer, table", [("game", "carla_0.9.14_and_later"), ("camera", "cityscapes")])
def test_what_is_written_reads_back_as_drawn(tmp_path, renderer, table):
    done = []
    draw_toy_world(tmp_path, renderer, 2, SMALL, seed=9, split="val", progress=done.append)
    assert done == [1, 2]
    for index in range(2):
        image_path, label_path = frame_paths(tmp_path, renderer, index, "val")
        image, train_ids = draw_frame(renderer, 9, index, SMALL)
        assert np.array_equal(read_raw(image_path), image)
        stored = read_raw(label_path)
        if renderer == "game":
            assert not stored[..., 1:].any(), "CARLA's tag is in the red channel alone"
            stored = stored[..., 0]
        assert np.array_equal(native_table(table)[stored], train_ids)


def test_the_layouts_are_carlas_and_cityscapes(tmp_path):
    draw_toy_world(tmp_path / "game", "game", 1, SMALL)
    draw_toy_world(tmp_path / "camera", "camera", 1, SMALL, split="val")
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert written == [
        "camera/gtFine/val/toyworld/toyworld_000000_000019_gtFine_labelIds.png",
        "camera/leftImg8bit/val/toyworld/toyworld_000000_000019_leftImg8bit.png",
        "camera/toyworld.json",
        "game/rgb/000000.png",
        "game/semantic/000000.png",
        "game/toyworld.json",
    ]


def test_drawing_again_continues_and_leaves_finished_frames_alone(tmp_path):
    draw_toy_world(tmp_path, "game", 2, SMALL)
    first, _ = frame_paths(tmp_path, "game", 0, "train")
    broken_off, label = frame_paths(tmp_path, "game", 1, "train")
    before, expected = first.stat().st_mtime_ns, broken_off.read_bytes()
    broken_off.unlink()
    draw_toy_world(tmp_path, "game", 3, SMALL)
    assert first.stat().st_mtime_ns == before
    assert broken_off.read_bytes() == expected and label.exists()
    assert frame_paths(tmp_path, "game", 2, "train")[0].exists()


@pytest.mark.parametrize("change", [{"size": (64, 48)}, {"seed": 5}, {"renderer": "camera"}])
def test_another_drawing_in_the_folder_is_refused(tmp_path, change):
    drawing = {"renderer": "game", "size": SMALL, "seed": 4}
    draw_toy_world(tmp_path, frames=1, **drawing)
    with pytest.raises(UserError, match=r'another drawing of toy world: \{"renderer": "game", "seed": 4'):
        draw_toy_world(tmp_path, frames=2, **drawing | change)
    assert len(list(tmp_path.rglob("*.png"))) == 2


def test_processes_draw_the_same_bytes(tmp_path):
    for workers in (1, 2):
        draw_toy_world(tmp_path / str(workers), "camera", 2, SMALL, workers=workers)
    pictures = [sorted((tmp_path / name).rglob("*.png")) for name in ("1", "2")]
    assert len(pictures[0]) == 4
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(*pictures, strict=True))


# --- geometry ---------------------------------------------------------------------------------------------------------


def test_projection_of_a_point_worked_out_by_hand():
    # Focal length 0.5 x 200 = 100 px, centre (100, 50), eye 1.5 m up. A point 2 m right, on the ground, 10 m ahead:
    # x = 100 + 100 * 2 / 10 = 120, y = 50 + 100 * 1.5 / 10 = 65.
    pixel, depth = straight_ahead().project(np.array([2.0, 0.0, 10.0]), 200, 100)
    assert pixel == pytest.approx([120, 65]) and depth == pytest.approx(10)


def test_looking_down_and_right_moves_the_picture_up_and_left():
    turned = View(np.zeros(3), camera_rotation(yaw=0.1, pitch=0.05, roll=0), focal=0.5)
    pixel, _ = turned.project(np.array([0.0, 0.0, 10.0]), 200, 100)
    assert pixel[0] < 100 and pixel[1] < 50


def test_rays_and_projection_agree_behind_a_distorting_lens():
    view = straight_ahead(distortion=0.2)
    ray_x, ray_y = view.rays(200, 100)
    point = view.eye + 7 * np.array([ray_x[20, 30], -ray_y[20, 30], 1.0])
    pixel, _ = view.project(point, 200, 100)
    assert pixel == pytest.approx([30.5, 20.5], abs=0.01)


@pytest.mark.parametrize("near_first", [True, False])
def test_a_near_box_hides_a_far_one(near_first):
    faces = face_list()
    boxes = [(4.0, 2.0, TrainId.CAR), (8.0, 8.0, TrainId.BUILDING)]
    for distance, width, train_id in boxes if near_first else boxes[::-1]:
        middle = distance * NORTH
        faces.add_upright(middle, EAST, width, 3.0, train_id, Material.WALL)
    arrays, surfaces = faces.faces(), empty_surfaces(64, 32)
    draw_faces(straight_ahead(), arrays, surfaces)
    # Both are centred; the near one spans 2 m at 4 m: 32 px focal length -> 16 px; the far one 8 m at 8 m -> 32 px.
    row = np.where(surfaces.face[16] == NO_FACE, 255, arrays.train_id[surfaces.face[16]])
    assert (row[24:40] == TrainId.CAR).all()
    assert (row[16:24] == TrainId.BUILDING).all() and (row[40:48] == TrainId.BUILDING).all()
    assert (row[:16] == 255).all() and (row[48:] == 255).all()
    assert 1 / surfaces.inverse_depth[16, 30] == pytest.approx(4, rel=1e-5)


def test_texture_coordinates_are_in_perspective():
    """Half-way across the picture of a receding wall lies less than half-way along the wall."""
    faces = face_list()
    faces.add(EAST + 2 * NORTH, 8 * NORTH, 3 * UP, TrainId.BUILDING, Material.WALL)
    surfaces = empty_surfaces(64, 32)
    draw_faces(straight_ahead(), faces.faces(), surfaces)
    # The wall x = 1 from z = 2 to 10 covers x pixels 32 + 32 / z: 48 to 35.2. At pixel centre 40.5, z = 32 / 8.5.
    assert surfaces.face[16, 40] != NO_FACE
    assert surfaces.s[16, 40] == pytest.approx((32 / 8.5 - 2) / 8, abs=1e-4)


def test_a_wall_that_reaches_behind_the_camera_is_drawn():
    faces = face_list()
    faces.add(EAST - 5 * NORTH, 20 * NORTH, 3 * UP, TrainId.BUILDING, Material.WALL)
    surfaces = empty_surfaces(64, 32)
    draw_faces(straight_ahead(), faces.faces(), surfaces)
    assert (surfaces.face[16, 40:] == 0).all() and (surfaces.face[16, :32] == NO_FACE).all()


def test_holes_of_a_stencil_show_what_is_behind():
    faces = face_list()
    faces.add_upright(4 * NORTH, EAST, 3.0, 3.0, TrainId.TRAFFIC_SIGN, "round sign")
    faces.add_upright(5 * NORTH, EAST, 9.0, 9.0, TrainId.BUILDING, Material.WALL)
    arrays, surfaces = faces.faces(), empty_surfaces(64, 32)
    draw_faces(straight_ahead(), arrays, surfaces)
    assert arrays.train_id[surfaces.face[16, 32]] == TrainId.TRAFFIC_SIGN
    assert arrays.train_id[surfaces.face[5, 21]] == TrainId.BUILDING, "the corner of a round sign is a hole"


def test_faces_of_a_solid_that_look_away_are_left_out():
    faces = face_list()
    for distance in (4.0, 6.0):
        faces.add(distance * NORTH, EAST, UP, TrainId.CAR, Material.CAR_PAINT, solid_centre=5 * NORTH)
    assert len(faces.rows) == 1


def test_ground_materials_across_the_street():
    plan = StreetPlan(0.0, 1, 3.0, (True, True), (0.0, 1.0), (2.0, 2.0), (0.0, 0.0), crossing=None)
    # Right side: lane to 3.0, parking to 5.1, kerb to 5.4, verge to 6.1, sidewalk to 8.1, then garden.
    x = np.array([1.5, 4.0, 5.2, 5.8, 7.0, 9.0, -6.0])
    names = [Material(number).name for number in ground_material(plan, x, np.full(7, 7.0))]
    assert names == ["ROAD", "ROAD", "KERB", "GRASS", "SIDEWALK", "GRASS", "SIDEWALK"]


def test_labels_are_ids_and_keep_thin_things():
    train_id = np.array([[0, 0, 5, 2], [0, 2, 2, 5]], np.uint8)
    depth = np.array([[9, 9, 3, 8], [9, 4, 8, 3]], np.float32)
    # Left: three votes for 0 beat the nearer 2. Right: two against two, and the pole (5) is nearer.
    assert halve_labels(train_id, depth).tolist() == [[0, 5]]


# --- appearance -------------------------------------------------------------------------------------------------------


def test_both_renderers_finish_every_material_in_the_same_variants():
    """A one-to-one look per material and variant keeps the translation well-posed."""
    assert GAME_FINISHES.keys() == CAMERA_FINISHES.keys()
    for material, finish in GAME_FINISHES.items():
        assert len(finish.palette) == len(CAMERA_FINISHES[material].palette), material.name


def test_a_material_without_finish_is_named():
    finishes = {material: finish for material, finish in GAME_FINISHES.items() if material is not Material.ROAD}
    with pytest.raises(ValueError, match="ROAD"):
        finish_table(finishes)


def test_compression_keeps_flat_blocks_and_any_size():
    flat = np.full((11, 13, 3), 96.0, np.float32)
    assert compress_blocks(flat, 8.0).shape == flat.shape
    assert np.abs(compress_blocks(flat, 8.0) - flat).max() < 1.0  # 96 * 8 is a multiple of the step


def test_the_gap_is_wide():
    """Mean colour of the road differs by far more between the renderers than within one."""
    means = {}
    for renderer in RENDERERS:
        frames = [draw_frame(renderer, 0, index, SMALL) for index in range(4)]
        means[renderer] = np.array([image[ids == TrainId.ROAD].mean(axis=0) for image, ids in frames])
    between = np.abs(means["game"].mean(axis=0) - means["camera"].mean(axis=0)).max()
    assert between > 20
    assert between > means["camera"].std(axis=0).max()


def test_see_gives_sky_only_above_the_horizon():
    visible = see(draw_scene(np.random.default_rng(0)), 0.0, 64, 32)
    assert (visible.elevation[visible.train_id == TrainId.SKY] > -0.02).all()
    assert np.isfinite(visible.depth).all() and (visible.depth > 0).all()
