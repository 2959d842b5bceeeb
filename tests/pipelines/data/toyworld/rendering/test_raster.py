"""Projection and z-buffer: where a point falls and what is in front, worked out by hand."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.raster import NO_FACE, draw_faces, empty_surfaces
from pipelines.data.toyworld.scenery.street import UP
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list, straight_ahead


def test_projection_of_a_point_worked_out_by_hand():
    # Focal length 0.5 x 200 = 100 px, centre (100, 50), eye 1.5 m up. A point 2 m right, on the ground, 10 m ahead:
    # x = 100 + 100 * 2 / 10 = 120, y = 50 + 100 * 1.5 / 10 = 65.
    pixel, depth = straight_ahead().project(np.array([2.0, 0.0, 10.0]), 200, 100)
    assert pixel == pytest.approx([120, 65]) and depth == pytest.approx(10)


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


def test_barrel_distortion_at_a_known_radius():
    # k = 0.2. The point 5.25 m right, 10 m ahead has the ideal radius 0.525; 0.5 * (1 + 0.2 * 0.25) is 0.525, so it is
    # seen at 0.5 focal lengths of 100 px: x = 150 instead of 152.5.
    point = np.array([5.25, 1.5, 10.0])
    assert straight_ahead(0.2).project(point, 200, 100)[0] == pytest.approx([150, 50], abs=1e-3)
    assert straight_ahead(0.0).project(point, 200, 100)[0] == pytest.approx([152.5, 50])


def test_nothing_to_draw_leaves_the_picture_as_it_was():
    surfaces = empty_surfaces(6, 4)
    draw_faces(straight_ahead(), face_list().faces(), surfaces)
    assert surfaces.face.shape == (4, 6) and (surfaces.face == NO_FACE).all() and not surfaces.inverse_depth.any()


def test_a_face_seen_edge_on_is_left_out():
    faces, surfaces = face_list(), empty_surfaces(64, 32)
    faces.add(4 * NORTH, NORTH, 3 * UP, TrainId.WALL, Material.WALL)  # in the plane x = 0, as is the eye
    draw_faces(straight_ahead(), faces.faces(), surfaces)
    assert (surfaces.face == NO_FACE).all()
