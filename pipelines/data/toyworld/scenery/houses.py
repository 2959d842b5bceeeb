"""Builders of what stands beside the street: houses, walls, fences, hedges and the far end."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, SIGN, STREET_END_M, UP, FaceList, StreetPlan
from pipelines.data.toyworld.scenery.trees import add_tree

HOUSE_DEPTH_M = 10.0
CROSSING_MARGIN_M = 2.2


def add_house_row(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int, openness: float) -> None:
    """Line one side of the street with houses and, with probability `openness` per plot, gaps between them."""
    along = rng.uniform(-10, -4)
    while along < STREET_END_M:
        length = rng.uniform(8, 17)
        if not plan.is_open(along, along + length, CROSSING_MARGIN_M):
            if along < plan.crossing - plan.crossing_half - CROSSING_MARGIN_M - 5:
                length = plan.crossing - plan.crossing_half - CROSSING_MARGIN_M - 0.1 - along
            else:
                along = plan.crossing + plan.crossing_half + CROSSING_MARGIN_M + 0.1
                continue
        if rng.random() < openness:
            _add_gap(rng, plan, faces, side, along, along + min(length, 9))
            along += min(length, 9)
        else:
            _add_house(rng, plan, faces, side, along, along + length)
            along += length + (rng.uniform(1.5, 4) if rng.random() < 0.25 else 0.0)


def _add_house(
    rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int, first: float, last: float
) -> None:
    sign = SIGN[side]
    line = sign * (plan.building_line(side) + rng.uniform(0, 0.6))
    height = 3.4 + 2.9 * rng.integers(1, 5)
    variant = int(rng.integers(0, 4096))
    near, far = plan.point(line, first), plan.point(line, last)
    front = far - near
    outward = sign * np.array([1.0, 0.0, 0.0]) * HOUSE_DEPTH_M
    if side == LEFT:
        faces.add(near, front, height * UP, TrainId.BUILDING, Material.FACADE, variant)
    else:
        faces.add(far, -front, height * UP, TrainId.BUILDING, Material.FACADE, variant)
    for corner in (near, far):
        faces.add(corner, outward, height * UP, TrainId.BUILDING, Material.FLANK, variant)
    faces.add_wall_shadow(near, front, height)
    faces.add_wall_shadow(near, outward, height)
    _add_roof(rng, faces, near, front, outward, height, variant)
    if plan.garden[side] > 1.2 and rng.random() < 0.6:
        _add_boundary(rng, plan, faces, side, first, last)


def _add_roof(
    rng: np.random.Generator,
    faces: FaceList,
    near: np.ndarray,
    front: np.ndarray,
    outward: np.ndarray,
    height: float,
    variant: int,
) -> None:
    eaves = near + height * UP
    rise = rng.uniform(2.0, 3.4)
    style = rng.integers(0, 3)
    if style == 0:  # ridge along the street
        overhang = -0.04 * outward
        slope = 0.5 * outward + rise * UP - overhang
        faces.add(eaves + overhang, front, slope, TrainId.BUILDING, Material.ROOF, variant)
        faces.add(eaves + overhang, front, -overhang, TrainId.BUILDING, Material.TRIM, variant)  # seen from below
        for corner in (eaves, eaves + front):
            faces.add(corner, outward, rise * UP, TrainId.BUILDING, "gable", variant)
    elif style == 1:  # gable towards the street
        faces.add(eaves, front, rise * UP, TrainId.BUILDING, "gable", variant)
        half = 0.5 * front
        for start, run in ((eaves, half), (eaves + front, -half)):
            faces.add(start, outward, run + rise * UP, TrainId.BUILDING, Material.ROOF, variant)
    else:
        faces.add(eaves - 0.001 * outward, front, 0.5 * UP, TrainId.BUILDING, Material.TRIM, variant)


def _add_boundary(
    rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int, first: float, last: float
) -> None:
    """A wall, a fence or a hedge along the back of the sidewalk."""
    edge = SIGN[side] * (plan.walk_start(side) + plan.walk[side] + 0.15)
    near, far = plan.point(edge, first), plan.point(edge, last)
    kind = rng.integers(0, 3)
    train_id, look, height = (
        (TrainId.WALL, Material.WALL, rng.uniform(1.0, 1.8)),
        (TrainId.FENCE, Material.FENCE, rng.uniform(1.0, 1.7)),
        (TrainId.VEGETATION, "hedge", rng.uniform(0.9, 1.8)),
    )[kind]
    variant = int(rng.integers(0, 4096))
    faces.add(near, far - near, height * UP, train_id, look, variant)
    faces.add_wall_shadow(near, far - near, height)


def _add_gap(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int, first: float, last: float) -> None:
    """An open plot: a boundary in front, trees behind."""
    sign = SIGN[side]
    line = sign * (plan.building_line(side) - 0.3)
    near, far = plan.point(line, first), plan.point(line, last)
    variant = int(rng.integers(0, 4096))
    height = rng.uniform(1.4, 2.4)
    train_id, material = ((TrainId.WALL, Material.WALL), (TrainId.FENCE, Material.FENCE))[rng.integers(0, 2)]
    faces.add(near, far - near, height * UP, train_id, material, variant)
    faces.add_wall_shadow(near, far - near, height)
    for _ in range(rng.integers(1, 4)):
        point = plan.point(line + sign * rng.uniform(2.5, 8), rng.uniform(first, last))
        add_tree(rng, faces, point, size=rng.uniform(1.0, 1.5))


def add_far_end(rng: np.random.Generator, plan: StreetPlan, faces: FaceList) -> None:
    """Close the horizon with distant houses and trees, and the view into the side street."""
    x = -75.0
    while x < 75.0:
        width = rng.uniform(6, 14)
        if rng.random() < 0.55:
            foot = plan.point(x, STREET_END_M + 4)
            height = rng.uniform(6, 14)
            variant = int(rng.integers(0, 4096))
            faces.add(foot, np.array([width, 0, 0]), height * UP, TrainId.BUILDING, Material.FACADE, variant)
        else:
            add_tree(rng, faces, plan.point(x + width / 2, STREET_END_M), size=rng.uniform(1.3, 2.0))
        x += width * 0.9
    if plan.crossing is not None:
        for side in (LEFT, RIGHT):
            _close_side_street(rng, plan, faces, side)


def _close_side_street(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int) -> None:
    sign = SIGN[side]
    first, last = plan.crossing - 25, plan.crossing + 25
    near, far = (plan.point(sign * (plan.building_line(side) + 35), along) for along in (first, last))
    height = rng.uniform(7, 12)
    faces.add(near, far - near, height * UP, TrainId.BUILDING, Material.FACADE, int(rng.integers(0, 4096)))
