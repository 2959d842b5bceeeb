"""What each pixel sees: depth, place, light and shadow, on streets of which the answer is known."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.visible import FAR_M, halve_labels, see
from pipelines.data.toyworld.scene import draw_scene
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list, scene_of

SUN = (0.0, 0.6, -0.8)
"""Behind the camera, 3 up for 4 across: shadows fall to the north."""


def test_bare_ground_worked_out_by_hand():
    visible = see(scene_of(face_list(sun=SUN)), 0.0, 64, 32)
    # Row 24 lies 24.5 - 16 = 8.5 px below the horizon; at a focal length of 0.95 * 64 = 60.8 px and from 1.5 m up its
    # rays meet the ground at z = 1.5 * 60.8 / 8.5 = 10.729 m. Column 40 lies 8.5 px to the right: as far as it is down.
    assert visible.depth[24, 40] == pytest.approx(10.729, abs=1e-3)
    assert visible.v[24, 40] == pytest.approx(10.729, abs=1e-3) and visible.u[24, 40] == pytest.approx(1.5, abs=1e-4)
    assert visible.train_id[24, 40] == TrainId.ROAD and visible.material[24, 40] == Material.ROAD
    assert visible.lambert[24, 40] == pytest.approx(0.6)
    # A pixel is depth / focal = 0.17647 m wide, and 0.4 * 10.729 / 1.5 times that along the road.
    assert visible.grain_m[24, 40] == pytest.approx(0.17647 * 0.4 * 10.729 / 1.5, rel=1e-3)
    assert visible.train_id[8, 40] == TrainId.SKY and visible.depth[8, 40] == FAR_M
    assert visible.elevation[8, 31] == pytest.approx(np.arctan2(7.5, np.hypot(60.8, 0.5)), abs=1e-6)


def test_a_wall_has_its_class_light_and_metres():
    faces = face_list(sun=SUN)
    faces.add_upright(10 * NORTH, EAST, 4.0, 3.0, TrainId.WALL, Material.WALL, variant=5)
    visible = see(scene_of(faces), 0.0, 64, 32)
    # 1.5 m above the ground is eye level; column 32 lies half a pixel, 10 / 60.8 / 2 = 0.0822 m, right of the middle.
    assert visible.train_id[16, 32] == TrainId.WALL and visible.variant[16, 32] == 5
    assert visible.u[16, 32] == pytest.approx(2.0822, abs=1e-3) and visible.v[16, 32] == pytest.approx(1.4178, abs=1e-3)
    assert visible.lambert[16, 32] == pytest.approx(0.8), "the wall faces south, the sun stands 0.8 to the south"
    assert visible.crown[16, 32] == pytest.approx(1.4178 / 3, abs=1e-3)
    assert not visible.shadow[visible.train_id == TrainId.WALL].any()


def test_a_shadow_lies_where_the_sun_does_not_reach():
    faces = face_list(sun=SUN)
    faces.add_wall_shadow(8 * NORTH - 2 * EAST, 4 * EAST, 3.0)  # 4 m long: from z = 8 to 12, x from -2 to 2
    visible = see(scene_of(faces), 0.0, 64, 32)
    ground = visible.train_id != TrainId.SKY
    inside = ground & (visible.v > 8) & (visible.v < 12) & (np.abs(visible.u) < 2)
    assert inside.sum() > 50 and np.array_equal(visible.shadow, inside)


def test_windows_belong_to_the_wall_they_are_in():
    faces = face_list()
    faces.add_upright(10 * NORTH, EAST, 10.0, 12.0, TrainId.BUILDING, Material.FACADE)
    visible = see(scene_of(faces), 0.0, 64, 32)
    wall = visible.train_id == TrainId.BUILDING
    assert {Material.WINDOW, Material.TRIM, Material.SHOP} <= {Material(number) for number in visible.material[wall]}


def test_labels_are_ids_and_keep_thin_things():
    train_id = np.array([[0, 0, 5, 2], [0, 2, 2, 5]], np.uint8)
    depth = np.array([[9, 9, 3, 8], [9, 4, 8, 3]], np.float32)
    # Left: three votes for 0 beat the nearer 2. Right: two against two, and the pole (5) is nearer.
    assert halve_labels(train_id, depth).tolist() == [[0, 5]]


def test_see_gives_sky_only_above_the_horizon():
    visible = see(draw_scene(np.random.default_rng(0)), 0.0, 64, 32)
    assert (visible.elevation[visible.train_id == TrainId.SKY] > -0.02).all()
    assert np.isfinite(visible.depth).all() and (visible.depth > 0).all()
