"""Builders of poles and what hangs on them: lamps, traffic lights and signs."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, SIGN, UP, FaceList, StreetPlan
from pipelines.data.toyworld.scenery.trees import add_tree, facing_eye

SIGN_KINDS = ("round sign", "warning sign", "blue sign")


def add_pole(faces: FaceList, foot: np.ndarray, height: float, width: float, variant: int = 0) -> np.ndarray:
    """An upright pole; returns the direction along which things on it face the camera."""
    across = facing_eye(faces, foot)
    faces.add_upright(foot, across, width, height, TrainId.POLE, Material.POLE, variant)
    faces.add_wall_shadow(foot - 0.5 * width * across, width * across, height)
    return across


def add_street_lamp(faces: FaceList, foot: np.ndarray, towards_road: float, variant: int) -> None:
    """A lamp post with an arm over the road."""
    height = 6.5
    add_pole(faces, foot, height, 0.17, variant)
    arm = np.array([towards_road * 1.8, 0.25, 0.0])
    faces.add(foot + (height - 0.15) * UP, arm, 0.14 * UP, TrainId.POLE, Material.POLE, variant)


def add_sign(rng: np.random.Generator, faces: FaceList, foot: np.ndarray) -> None:
    """A pole with one or two signs."""
    variant = int(rng.integers(0, 4096))
    across = add_pole(faces, foot, 2.9, 0.1, variant)
    nearer = foot - 0.06 * np.array([-across[2], 0.0, across[0]])
    kind = str(rng.choice(SIGN_KINDS))
    side = rng.uniform(0.75, 0.95)
    faces.add_upright(nearer + (3.0 - side) * UP, across, side, side, TrainId.TRAFFIC_SIGN, kind, variant)
    if rng.random() < 0.4:
        faces.add_upright(nearer + 1.5 * UP, across, 0.65, 0.5, TrainId.TRAFFIC_SIGN, "blue sign", variant)


def add_traffic_light(faces: FaceList, foot: np.ndarray, towards_road: float, overhead: bool, variant: int) -> None:
    """A light on a pole; `overhead` adds a second one on an arm over the lane."""
    height = 5.2 if overhead else 3.3
    across = add_pole(faces, foot, height, 0.14, variant)
    nearer = foot - 0.1 * np.array([-across[2], 0.0, across[0]])
    faces.add_upright(nearer + 2.3 * UP, across, 0.4, 1.05, TrainId.TRAFFIC_LIGHT, "traffic light", variant)
    if overhead:
        reach = towards_road * 3.0
        arm = np.array([reach, 0.0, 0.0])
        faces.add(foot + 5.1 * UP, arm, 0.12 * UP, TrainId.POLE, Material.POLE, variant)
        hung = nearer + arm + 4.4 * UP
        faces.add_upright(hung, across, 0.42, 1.1, TrainId.TRAFFIC_LIGHT, "traffic light", variant)


def add_furniture(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int) -> None:
    """Lamps in a row, signs here and there, lights at the side street or at a lone stop line."""
    lateral = plan.kerb(side) + 0.55
    variant = int(rng.integers(0, 4096))
    start, pitch = rng.uniform(8, 24), rng.uniform(18, 28)
    for along in np.arange(start, 95, pitch):
        if plan.is_open(along, along, margin=0.6):
            add_street_lamp(faces, plan.point(SIGN[side] * lateral, along), -SIGN[side], variant)
    for _ in range(rng.poisson(1.3)):
        along = rng.uniform(8, 40)
        if plan.is_open(along, along, margin=0.6):
            add_sign(rng, faces, plan.point(SIGN[side] * (lateral + rng.uniform(-0.1, 0.4)), along))
    if plan.crossing is not None:
        along = plan.crossing - plan.crossing_half - 0.6
    elif rng.random() < 0.4:
        along = rng.uniform(12, 35)
    else:
        return
    foot = plan.point(SIGN[side] * lateral, along)
    add_traffic_light(faces, foot, -SIGN[side], overhead=bool(rng.random() < 0.4), variant=variant)


def add_street_trees(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, density: float) -> None:
    """Rows of trees along the kerbs; `density` is the chance that a place is planted."""
    for side in (LEFT, RIGHT):
        along, pitch = rng.uniform(7, 14), rng.uniform(7, 12)
        while along < 105:
            if rng.random() < density and plan.is_open(along, along, margin=3):
                lateral = plan.kerb(side) + max(0.7, 0.5 * plan.verge[side]) + rng.uniform(0, 0.2)
                add_tree(rng, faces, plan.point(SIGN[side] * lateral, along), size=rng.uniform(0.8, 1.25))
            along += pitch * rng.uniform(0.85, 1.2)
