"""The plan's distances, directions and open stretches; the faces and shadows that builders add."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, UP, StreetPlan, right_of, turned
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list, straight_street


def test_distances_across_the_street():
    plan = StreetPlan(0.0, 2, 3.0, (True, False), (1.5, 0.0), (2.5, 3.0), (0.0, 4.0), crossing=None)
    # Two lanes are 6 m; cars park within 2.1 m on the left, 0.4 m of gutter is on the right.
    assert plan.kerb(LEFT) == pytest.approx(8.1) and plan.kerb(RIGHT) == pytest.approx(6.4)
    assert plan.walk_start(LEFT) == pytest.approx(9.6) and plan.walk_start(RIGHT) == pytest.approx(6.4)
    assert plan.building_line(LEFT) == pytest.approx(12.1) and plan.building_line(RIGHT) == pytest.approx(13.4)


def test_a_street_that_bends():
    plan = StreetPlan(0.01, 1, 3.0, (False, False), (0.0, 0.0), (2.0, 2.0), (0.0, 0.0), crossing=None)
    # x = 0.01 * 20**2 = 4 m aside at 20 m; the slope there is 2 * 0.01 * 20 = 0.4.
    assert plan.point(-1.0, 20.0, 0.5) == pytest.approx([3.0, 0.5, 20.0])
    assert plan.heading(20.0) == pytest.approx(np.array([0.4, 0, 1]) / np.sqrt(1.16))


def test_open_stretches_keep_clear_of_the_side_street():
    plan = straight_street(crossing=30.0)  # from 26.4 to 33.6 m
    assert plan.is_open(10, 26.3) and plan.is_open(33.7, 50) and straight_street().is_open(0, 100)
    assert not plan.is_open(10, 26.5) and not plan.is_open(28, 32)
    assert not plan.is_open(10, 26.3, margin=1.0)


def test_right_and_turned():
    assert right_of(NORTH).tolist() == [1, 0, 0] and right_of(EAST).tolist() == [0, 0, -1]
    assert turned(NORTH, np.pi / 2) == pytest.approx(EAST) and turned(NORTH, 0.0) == pytest.approx(NORTH)


def test_an_upright_rectangle_is_centred_on_its_foot():
    faces = face_list()
    faces.add_upright(4 * NORTH, EAST, 3.0, 2.0, TrainId.FENCE, Material.FENCE, variant=7)
    arrays = faces.faces()
    assert arrays.origin.tolist() == [[-1.5, 0, 4]] and arrays.edge_u.tolist() == [[3, 0, 0]]
    assert arrays.edge_v.tolist() == [[0, 2, 0]] and arrays.variant.tolist() == [7]
    assert arrays.train_id.tolist() == [TrainId.FENCE] and arrays.material.tolist() == [Material.FENCE]
    assert arrays.stencil.tolist() == [-1]


def test_a_shadow_falls_away_from_the_sun():
    # The sun stands in the east, 3 up for 4 across: a wall of 3 m throws a shadow of 4 m to the west.
    faces = face_list(sun=(0.8, 0.6, 0.0))
    faces.add_wall_shadow(np.array([2.0, 0.7, 9.0]), 5 * NORTH, 3.0)
    shadow = faces.shadows()
    assert shadow.origin.tolist() == [[2, 0, 9]] and shadow.edge_u.tolist() == [[0, 0, 5]]
    assert shadow.edge_v == pytest.approx(np.array([[-4.0, 0, 0]])) and len(faces.faces().origin) == 0


def test_a_look_that_is_no_stencil_is_refused():
    with pytest.raises(ValueError, match="No stencil 'chimney'; there are: hedge, "):
        face_list().add(4 * NORTH, EAST, UP, TrainId.BUILDING, "chimney")


def test_faces_of_a_solid_that_look_away_are_left_out():
    faces = face_list()
    for distance in (4.0, 6.0):
        faces.add(distance * NORTH, EAST, UP, TrainId.CAR, Material.CAR_PAINT, solid_centre=5 * NORTH)
    assert len(faces.rows) == 1
