"""Trees stand on the ground, face the camera and throw a shadow."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.stencils import CROWNS, stencil_number
from pipelines.data.toyworld.scenery.trees import add_tree, facing_eye
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list


def test_pictures_are_turned_towards_the_camera():
    assert facing_eye(face_list(), 9 * NORTH) == pytest.approx(EAST)
    assert facing_eye(face_list(), 9 * EAST) == pytest.approx(-NORTH)
    # 3 east and 4 north: to the right of (0.6, 0.8) is (0.8, -0.6). Heights do not matter.
    assert facing_eye(face_list(), np.array([3.0, 7.0, 4.0])) == pytest.approx([0.8, 0, -0.6])


def test_a_tree_is_a_trunk_and_four_crowns():
    faces = face_list()
    add_tree(np.random.default_rng(0), faces, 9 * NORTH)
    trunk, *crowns = faces.rows
    assert {row[3] for row in faces.rows} == {TrainId.VEGETATION} and len(crowns) == 4
    assert (
        trunk[4] == Material.TRUNK
        and trunk[0] == pytest.approx([-0.13, 0, 9])
        and trunk[1] == pytest.approx(0.26 * EAST)
    )
    assert {row[5] for row in crowns} <= {stencil_number(f"crown {number}") for number in range(CROWNS)}
    for origin, across, up, *_ in crowns:
        assert across[0] == pytest.approx(up[1]) and origin[1] >= 1.9, "crowns are square and begin above the trunk"


def test_size_scales_all_of_it():
    small, large = face_list(), face_list()
    add_tree(np.random.default_rng(0), small, 9 * NORTH)
    add_tree(np.random.default_rng(0), large, 9 * NORTH, size=2.0)
    assert [row[2][1] for row in large.rows] == pytest.approx([2 * row[2][1] for row in small.rows])


def test_the_shadow_of_the_crown_lies_where_the_sun_throws_it():
    # The sun stands in the west, 3 up for 4 across: a point h up throws its shadow 4/3 h to the east.
    faces = face_list(sun=(-0.8, 0.6, 0.0))
    add_tree(np.random.default_rng(0), faces, 9 * NORTH)
    trunk, crown = faces.shadow_rows
    trunk_height = trunk[2][0] * 3 / 4
    assert 1.9 <= trunk_height <= 2.6 and trunk[0] == pytest.approx([-0.13, 0, 9])
    middle = crown[0] + (crown[1] + crown[2]) / 2
    radius = np.linalg.norm(crown[1]) / 2
    assert middle == pytest.approx([4 / 3 * (trunk_height + radius), 0, 9])
    assert np.linalg.norm(crown[2]) == pytest.approx(2 * radius * 4 / 3), "drawn out as the sun is low"
