"""Houses line the street, face it, and leave the side street open."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.houses import add_far_end, add_house_row
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, SIGN, STREET_END_M
from tests.pipelines.data.toyworld.posed import face_list, of_class, straight_street

LINE = 5.4
"""Facades stand 3.4 m of road and 2 m of sidewalk from the centre line, or up to 0.6 m behind."""


def facades(faces):
    return [row for row in faces.rows if row[4] == Material.FACADE]


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_a_closed_row_of_houses(side):
    faces = face_list()
    add_house_row(np.random.default_rng(0), straight_street(), faces, side, openness=0.0)
    fronts = facades(faces)
    assert len(fronts) >= 6
    for origin, along, up, train_id, *_ in fronts:
        assert LINE <= SIGN[side] * origin[0] <= LINE + 0.6 and origin[1] == 0
        # Seen from the street a facade begins at its left: on the left side the near end, on the right the far one.
        assert np.sign(along[2]) == -SIGN[side] and 8 <= abs(along[2]) <= 17
        assert train_id == TrainId.BUILDING and (up[1] - 3.4) / 2.9 == pytest.approx(round((up[1] - 3.4) / 2.9))
    starts = sorted(min(origin[2], origin[2] + along[2]) for origin, along, *_ in fronts)
    ends = sorted(max(origin[2], origin[2] + along[2]) for origin, along, *_ in fronts)
    assert all(end <= start + 1e-9 for end, start in zip(ends[:-1], starts[1:], strict=True)), "houses overlap"
    assert ends[-1] >= STREET_END_M


def test_open_plots_have_a_boundary_and_trees():
    faces = face_list()
    add_house_row(np.random.default_rng(0), straight_street(), faces, RIGHT, openness=1.0)
    assert not of_class(faces, TrainId.BUILDING)
    boundaries = of_class(faces, TrainId.WALL) + of_class(faces, TrainId.FENCE)
    assert {row[0][0] for row in boundaries} == {LINE - 0.3} and len(of_class(faces, TrainId.VEGETATION)) >= 5


@pytest.mark.parametrize("openness", [0.0, 0.5])
def test_nothing_stands_in_the_side_street(openness):
    for seed in range(5):
        faces = face_list()
        add_house_row(np.random.default_rng(seed), straight_street(crossing=40.0), faces, RIGHT, openness)
        fronts = [row for row in faces.rows if row[4] in (Material.FACADE, Material.WALL, Material.FENCE)]
        for origin, along, *_ in fronts:
            first, last = sorted((origin[2], origin[2] + along[2]))
            # The side street is 40 m off and 3.6 m wide to either side, with 2.2 m of sidewalk.
            assert last < 34.2 or first > 45.8


def test_gardens_have_a_wall_fence_or_hedge_at_the_sidewalk():
    faces = face_list()
    add_house_row(np.random.default_rng(1), straight_street(garden=3.0), faces, RIGHT, openness=0.0)
    edges = [row for row in faces.rows if row[0][0] == pytest.approx(LINE + 0.15)]
    assert len(edges) >= 2 and {row[3] for row in edges} <= {TrainId.WALL, TrainId.FENCE, TrainId.VEGETATION}
    assert all(0.9 <= row[2][1] <= 1.8 for row in edges)


def test_the_far_end_closes_the_horizon_and_the_side_street():
    faces, crossed = face_list(), face_list()
    add_far_end(np.random.default_rng(0), straight_street(), faces)
    assert {row[0][2] for row in facades(faces)} == {STREET_END_M + 4}
    add_far_end(np.random.default_rng(0), straight_street(crossing=40.0), crossed)
    added = facades(crossed)[len(facades(faces)) :]
    assert [row[0][0] for row in added] == [-LINE - 35, LINE + 35] and all(row[1][2] == 50 for row in added)
