"""Scenes: the camera's attitude, and streets that obey the ranges they are drawn from."""

import numpy as np
import pytest

from pipelines.data.toyworld.rendering.raster import View
from pipelines.data.toyworld.scene import FOCAL_WIDTHS, camera_rotation, draw_scene


def test_looking_down_and_right_moves_the_picture_up_and_left():
    turned = View(np.zeros(3), camera_rotation(yaw=0.1, pitch=0.05, roll=0), focal=0.5)
    pixel, _ = turned.project(np.array([0.0, 0.0, 10.0]), 200, 100)
    assert pixel[0] < 100 and pixel[1] < 50


def test_a_level_camera_sees_the_worlds_axes():
    # Rows: right is +x, down is -y, forward is +z.
    assert camera_rotation(0, 0, 0).tolist() == [[1, 0, 0], [0, -1, 0], [0, 0, 1]]


def test_a_quarter_turn_each():
    quarter = np.pi / 2
    assert camera_rotation(quarter, 0, 0)[2] == pytest.approx([1, 0, 0])  # looks right
    assert camera_rotation(0, quarter, 0)[2] == pytest.approx([0, -1, 0])  # looks down
    assert camera_rotation(0, 0, quarter)[0] == pytest.approx([0, -1, 0])  # clockwise: its right side is below


def test_the_camera_sits_in_a_lane_and_the_sun_stands_where_it_may():
    for seed in range(4):
        scene = draw_scene(np.random.default_rng(seed))
        x, height, along = scene.eye
        assert 0 < x < scene.plan.lanes * scene.plan.lane_m, "right-hand traffic"
        assert 1.25 <= height <= 1.75 and along == 0
        assert np.radians(32) <= np.arcsin(scene.sun[1]) <= np.radians(65)
        assert scene.rotation @ scene.rotation.T == pytest.approx(np.eye(3), abs=1e-12)


def test_things_stand_on_the_ground_and_shadows_lie_on_it():
    scene = draw_scene(np.random.default_rng(1))
    assert len(scene.faces.origin) > 100 and scene.faces.origin[:, 1].min() > -1e-9
    for field in (scene.shadows.origin, scene.shadows.edge_u, scene.shadows.edge_v):
        assert not field[:, 1].any()


def test_one_state_of_the_generator_is_one_scene():
    one, same, other = (draw_scene(np.random.default_rng(seed)) for seed in (2, 2, 3))
    assert one.plan == same.plan and np.array_equal(one.faces.origin, same.faces.origin)
    assert one.plan != other.plan


def test_its_view_has_the_lens_asked_for():
    view = draw_scene(np.random.default_rng(0)).view(0.09)
    assert (view.focal, view.distortion) == (FOCAL_WIDTHS, 0.09)
