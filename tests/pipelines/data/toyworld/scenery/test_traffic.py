"""Vehicles, cyclists and people: where they are painted, on which side they drive, what rides on what."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.scenery.stencils import stencil_number
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, SIGN
from pipelines.data.toyworld.scenery.traffic import (
    add_cycle,
    add_cycles,
    add_moving_vehicles,
    add_parked_cars,
    add_people,
    add_person,
    add_vehicle,
)
from pipelines.data.toyworld.scenery.vehicles import VEHICLES
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list, of_class, painted, straight_street


def test_a_car_ahead_is_painted_where_it_must_lie():
    faces = face_list()
    add_vehicle(faces, "saloon", 12.3 * NORTH, NORTH, variant=0)  # 4.6 m long: its rear is 10 m ahead
    rows, columns = np.nonzero(painted(faces, (200, 100)) == TrainId.CAR)
    # 100 px focal length. 1.8 m at 10 m are 18 px about column 100; its tyres stand 1.5 m below the eye: row 65.
    # The roof, 0.05 m below the eye, begins 10 + 0.28 * 4.6 = 11.3 m ahead: 50 + 5 / 11.3, within row 50.
    assert (columns.min(), columns.max()) == (91, 108) and rows.max() == 64 and rows.min() in (50, 51)


@pytest.mark.parametrize("kind", VEHICLES)
def test_a_vehicle_fills_its_box(kind):
    model, faces = VEHICLES[kind], face_list()
    add_vehicle(faces, kind, np.array([2.0, 0.0, 30.0]), EAST, variant=0)
    arrays = faces.faces()
    corners = np.concatenate([arrays.origin, arrays.origin + arrays.edge_u, arrays.origin + arrays.edge_v,
                              arrays.origin + arrays.edge_u + arrays.edge_v])  # fmt: skip
    # It stands across the view: the faces that look this way span its length and height, from the side nearest to us.
    assert corners[:, 0].min() == pytest.approx(2 - model.length / 2) and corners[:, 1].min() == pytest.approx(0)
    assert corners[:, 0].max() == pytest.approx(2 + model.length / 2)
    assert corners[:, 1].max() == pytest.approx(model.height)
    assert corners[:, 2].min() == pytest.approx(30 - model.width / 2)
    assert set(arrays.train_id) == {model.train_id}
    under = faces.shadows()
    sizes = [(abs(along[0]), abs(across[2])) for along, across in zip(under.edge_u, under.edge_v, strict=True)]
    assert (model.length, model.width) in [pytest.approx(size) for size in sizes], "the ground below it is dark"


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_cars_park_at_the_kerb_and_not_at_the_side_street(side):
    faces, none = face_list(), face_list()
    add_parked_cars(np.random.default_rng(0), straight_street(True, crossing=40.0), faces, side, density=1.0)
    add_parked_cars(np.random.default_rng(0), straight_street(True), none, side, density=0.0)
    arrays = faces.faces()
    ends = np.concatenate([arrays.origin, arrays.origin + arrays.edge_u, arrays.origin + arrays.edge_v])
    lateral, along = SIGN[side] * ends[:, 0], ends[:, 2]
    # Parking is from 3.0 to 5.1 m; a van is 1.9 m wide, its middle at 4.05 m or up to 0.1 m beside it.
    assert lateral.min() >= 3.0 and lateral.max() <= 5.1 and not none.rows
    # The side street is from 36.4 to 43.6 m; cars keep 5.5 m from it, slots are 6 m and cars up to 4.7 m long.
    assert not ((along > 31.5) & (along < 48.5)).any() and along.max() > 60


def test_vehicles_keep_to_the_right():
    for seed in range(6):
        faces = face_list()
        add_moving_vehicles(np.random.default_rng(seed), straight_street(), faces)
        assert faces.rows
        for row in faces.rows:
            if row[5] in (stencil_number("car front"), stencil_number("bus front"), stencil_number("truck front")):
                assert (row[0] + row[1] / 2)[0] == pytest.approx(-1.5), "we see the fronts of the oncoming, at the left"
            if row[5] in (stencil_number("car rear"), stencil_number("bus rear"), stencil_number("truck rear")):
                assert (row[0] + row[1] / 2)[0] == pytest.approx(1.5)


def test_a_person_has_the_size_of_one():
    for seed in range(4):
        faces = face_list()
        add_person(np.random.default_rng(seed), faces, 8 * NORTH)
        ((origin, across, up, train_id, *_),) = faces.rows
        assert 1.55 <= up[1] <= 1.9 and np.linalg.norm(across) == pytest.approx(0.52 * up[1])
        assert origin + across / 2 == pytest.approx(8 * NORTH) and train_id == TrainId.PERSON


def test_people_walk_on_the_sidewalk_or_the_zebra():
    on_foot, crossing = [], []
    for seed in range(6):
        faces = face_list()
        add_people(np.random.default_rng(seed), straight_street(crossing=30.0), faces, RIGHT, expected=3.0)
        feet = [row[0] + row[1] / 2 for row in faces.rows]
        # The zebra's middle is at 30 - 3.6 - 2 = 24.4 m; the sidewalk from 3.4 to 5.4 m, companions 0.5 m nearer.
        crossing += [foot for foot in feet if foot[2] == pytest.approx(24.4)]
        on_foot += [foot for foot in feet if foot[2] != pytest.approx(24.4)]
    assert len(on_foot) > 6 and all(3.3 <= foot[0] <= 5.1 for foot in on_foot)
    assert crossing and all(abs(foot[0]) <= 3.4 for foot in crossing)


@pytest.mark.parametrize("motor, train_id", [(False, TrainId.BICYCLE), (True, TrainId.MOTORCYCLE)])
def test_a_rider_sits_on_the_cycle_and_nearer(motor, train_id):
    faces = face_list()
    add_cycle(np.random.default_rng(0), faces, 8 * NORTH, EAST, motor=motor, ridden=True)
    cycle, rider = faces.rows
    assert (cycle[3], rider[3]) == (train_id, TrainId.RIDER)
    assert np.linalg.norm(cycle[1]) == pytest.approx(1.95 if motor else 1.7), "seen from the side, as it crosses"
    assert rider[0][1] == pytest.approx(0.32) and rider[0][2] == pytest.approx(8 - 0.12)


def test_a_cycle_that_rides_ahead_is_seen_from_behind():
    faces = face_list()
    add_cycle(np.random.default_rng(0), faces, 8 * NORTH, NORTH, motor=False, ridden=False)
    ((_, across, _, _, _, stencil, _),) = faces.rows
    assert across == pytest.approx(0.6 * EAST) and stencil == stencil_number("bicycle rear")


def test_who_rides_has_a_cycle_and_who_is_left_has_no_rider():
    counts = np.zeros(3, int)
    for seed in range(8):
        faces = face_list()
        add_cycles(np.random.default_rng(seed), straight_street(), faces)
        kinds = (TrainId.RIDER, TrainId.BICYCLE, TrainId.MOTORCYCLE)
        riders, *cycles = (len(of_class(faces, kind)) for kind in kinds)
        assert riders <= sum(cycles)
        counts += [riders, *cycles]
    assert (counts > 0).all() and counts[0] < counts[1:].sum()
