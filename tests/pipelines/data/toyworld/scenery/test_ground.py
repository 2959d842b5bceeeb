"""The ground: which material lies where, across the street, along its markings and at the side street."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.ground import GROUND_TRAIN_IDS, ground_material
from pipelines.data.toyworld.scenery.street import StreetPlan
from tests.pipelines.data.toyworld.posed import straight_street


def names(plan, x, along):
    points = np.broadcast_arrays(np.array(x, float), np.array(along, float))
    return [Material(number).name for number in ground_material(plan, *points)]


def test_ground_materials_across_the_street():
    plan = StreetPlan(0.0, 1, 3.0, (True, True), (0.0, 1.0), (2.0, 2.0), (0.0, 0.0), crossing=None)
    # Right side: lane to 3.0, parking to 5.1, kerb to 5.4, verge to 6.1, sidewalk to 8.1, then garden.
    x = np.array([1.5, 4.0, 5.2, 5.8, 7.0, 9.0, -6.0])
    names = [Material(number).name for number in ground_material(plan, x, np.full(7, 7.0))]
    assert names == ["ROAD", "ROAD", "KERB", "GRASS", "SIDEWALK", "GRASS", "SIDEWALK"]


def test_the_centre_line_is_dashed():
    # 4 m of paint in every 9 m, 0.18 m wide.
    assert names(straight_street(), 0.0, [2, 3.9, 4.1, 8, 11]) == [
        "LANE_PAINT", "LANE_PAINT", "ROAD", "ROAD", "LANE_PAINT",
    ]  # fmt: skip
    assert names(straight_street(), [-0.1, -0.08, 0.08, 0.1], 2.0) == ["ROAD", "LANE_PAINT", "LANE_PAINT", "ROAD"]


def test_a_line_parts_the_parked_from_the_moving():
    assert names(straight_street(parking=True), [3.0, -3.0, 3.1], 7.0) == ["LANE_PAINT", "LANE_PAINT", "ROAD"]
    assert names(straight_street(), 3.0, [7.0]) == ["ROAD"]


def test_a_bend_carries_the_ground_along():
    bent = StreetPlan(0.01, 1, 3.0, (False, False), (0.0, 0.0), (2.0, 2.0), (0.0, 0.0), crossing=None)
    # At 20 m the centre line lies at x = 4 m: x = 9 is 5 m to its right, on the sidewalk from 3.4 to 5.4 m.
    assert names(bent, [9.0, 0.0], 20.0) == ["SIDEWALK", "SIDEWALK"]
    assert names(straight_street(), [9.0, 0.0], 20.0) == ["GRASS", "LANE_PAINT"]


def test_a_side_street_cuts_through_and_has_a_zebra_before_it():
    plan = straight_street(crossing=30.0)  # from 26.4 to 33.6 m; the zebra from 23.0 to 25.6 m
    assert names(plan, 20.0, [30.0, 26.5, 26.2, 25.0, 24.0]) == ["ROAD", "ROAD", "KERB", "SIDEWALK", "GRASS"]
    assert names(plan, [0.25, 0.75, 1.25, -0.25], 24.0) == ["LANE_PAINT", "ROAD", "LANE_PAINT", "ROAD"]
    assert names(plan, [0.25, 0.25], [22.4, 25.8]) == ["ROAD", "ROAD"]


def test_every_material_has_its_class():
    named = {TrainId(GROUND_TRAIN_IDS[one]): one.name for one in (Material.LANE_PAINT, Material.KERB, Material.GRASS)}
    assert named == {TrainId.ROAD: "LANE_PAINT", TrainId.SIDEWALK: "KERB", TrainId.TERRAIN: "GRASS"}
    assert GROUND_TRAIN_IDS[Material.SKY] == TrainId.SKY
