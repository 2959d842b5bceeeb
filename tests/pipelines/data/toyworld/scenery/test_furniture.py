"""Poles and what hangs on them: sizes, sides, and that signs hide their pole."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.scenery.furniture import (
    add_furniture,
    add_pole,
    add_sign,
    add_street_lamp,
    add_street_trees,
    add_traffic_light,
)
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT
from tests.pipelines.data.toyworld.posed import EAST, NORTH, NOTHING, face_list, of_class, painted, straight_street


def test_a_pole_is_painted_where_it_must_lie():
    faces = face_list()
    assert add_pole(faces, 10 * NORTH, 3.0, 0.6) == pytest.approx(EAST)
    picture = painted(faces, (200, 100))
    # 100 px focal length: 0.6 m at 10 m are 6 px about column 100; 1.5 m above the eye to 1.5 m below it: 35 to 65.
    rows, columns = np.nonzero(picture == TrainId.POLE)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (35, 64, 97, 102)
    assert (picture == NOTHING).sum() == 200 * 100 - len(rows)


def test_a_lamp_reaches_over_the_road():
    faces = face_list()
    add_street_lamp(faces, 10 * NORTH + 4 * EAST, towards_road=-1, variant=0)
    pole, arm = faces.rows
    assert pole[2][1] == 6.5 and arm[0] == pytest.approx([4, 6.35, 10]) and arm[1] == pytest.approx([-1.8, 0.25, 0])


@pytest.mark.parametrize("seed", range(3))
def test_a_sign_is_in_front_of_its_pole(seed):
    faces = face_list()
    add_sign(np.random.default_rng(seed), faces, 6 * NORTH)
    picture = painted(faces, (200, 100))
    # The sign ends 3 m up and is at least 0.75 m high: 2.7 m up is on it, at 50 - 100 * 1.2 / 5.94 = row 29.
    assert picture[29, 100] == TrainId.TRAFFIC_SIGN
    assert picture[70, 100] == TrainId.POLE, "0.3 m up: below any second sign, which begins at 1.5 m"


@pytest.mark.parametrize("overhead", [False, True])
def test_a_traffic_light_hangs_on_its_pole_and_over_the_lane(overhead):
    faces = face_list()
    add_traffic_light(faces, 10 * NORTH + 4 * EAST, towards_road=-1, overhead=overhead, variant=0)
    lights = of_class(faces, TrainId.TRAFFIC_LIGHT)
    assert [row[0][1] for row in lights] == pytest.approx([2.3, 4.4] if overhead else [2.3])
    assert all(row[0][2] + row[1][2] / 2 < 10 for row in lights), "nearer than the pole"
    if overhead:
        assert (lights[0][0] + lights[0][1] / 2 - lights[1][0] - lights[1][1] / 2)[0] == pytest.approx(3.0, abs=0.02)


def test_furniture_stands_by_the_kerb_and_not_in_the_side_street():
    plan = straight_street(crossing=30.0)
    for side, sign in ((LEFT, -1), (RIGHT, 1)):
        faces = face_list()
        add_furniture(np.random.default_rng(0), plan, faces, side)
        feet = [row[0] + row[1] / 2 for row in of_class(faces, TrainId.POLE) if row[0][1] == 0]
        # 0.55 m behind the kerb at 3.4 m; signs up to 0.1 m nearer and 0.4 m farther.
        assert all(3.85 <= sign * foot[0] <= 4.35 for foot in feet) and len(feet) >= 3
        assert not any(26.4 < foot[2] < 33.6 for foot in feet)
        (light,) = (row for row in of_class(faces, TrainId.TRAFFIC_LIGHT) if row[0][1] == pytest.approx(2.3))
        assert light[0][2] == pytest.approx(30 - 3.6 - 0.6, abs=0.2), "at the stop line before the side street"


def test_trees_by_their_density():
    none, rows = face_list(), face_list()
    add_street_trees(np.random.default_rng(0), straight_street(), none, density=0.0)
    assert not none.rows
    add_street_trees(np.random.default_rng(0), straight_street(), rows, density=1.0)
    trunks = [row[0] + row[1] / 2 for row in rows.rows if row[5] == -1]
    # 0.7 m behind the kerb at 3.4 m and up to 0.2 m more, on both sides of the street.
    assert all(4.1 <= abs(foot[0]) <= 4.3 for foot in trunks) and len({np.sign(foot[0]) for foot in trunks}) == 2
    assert len(trunks) >= 12
