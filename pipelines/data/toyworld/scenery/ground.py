"""The ground: road, markings, kerbs, sidewalks and grass as a function of where a ray meets the plane y = 0."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, StreetPlan

KERB_M = 0.3
ZEBRA_M = 2.6

GROUND_TRAIN_IDS = np.full(len(Material), int(TrainId.TERRAIN), np.uint8)
"""Class of each ground material."""
GROUND_TRAIN_IDS[[Material.ROAD, Material.LANE_PAINT]] = TrainId.ROAD
GROUND_TRAIN_IDS[[Material.SIDEWALK, Material.KERB]] = TrainId.SIDEWALK
GROUND_TRAIN_IDS[Material.SKY] = TrainId.SKY


def ground_material(plan: StreetPlan, x: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Material of ground points.

    Args:
        plan: The street.
        x: World x of each point, metres.
        along: World z of each point, metres; same shape.

    Returns:
        uint8 material ids of the same shape.
    """
    lateral = x - plan.bend * along * along
    material = np.full(x.shape, int(Material.GRASS), np.uint8)
    for side in (LEFT, RIGHT):
        mine = (lateral < 0) if side == LEFT else (lateral >= 0)
        distance = np.abs(lateral)
        walk = plan.walk_start(side)
        material[mine & (distance >= walk) & (distance < walk + plan.walk[side])] = Material.SIDEWALK
        material[mine & (distance < plan.kerb(side) + KERB_M)] = Material.KERB
        material[mine & (distance < plan.kerb(side))] = Material.ROAD
    material[_marked(plan, lateral, along) & (material == Material.ROAD)] = Material.LANE_PAINT
    if plan.crossing is not None:
        _lay_crossing(plan, lateral, along, material)
    return material


def _marked(plan: StreetPlan, lateral: np.ndarray, along: np.ndarray) -> np.ndarray:
    dashed = (along % 9.0) < 4.0
    marked = (np.abs(lateral) < 0.09) & (dashed if plan.lanes == 1 else True)
    for lane in range(1, plan.lanes):
        marked |= (np.abs(np.abs(lateral) - lane * plan.lane_m) < 0.08) & dashed
    for side, sign in ((LEFT, -1), (RIGHT, 1)):
        if plan.parking[side]:
            marked |= np.abs(sign * lateral - plan.lanes * plan.lane_m) < 0.07
    return marked


def _lay_crossing(plan: StreetPlan, lateral: np.ndarray, along: np.ndarray, material: np.ndarray) -> None:
    offset = np.abs(along - plan.crossing)
    beyond = np.where(lateral < 0, np.abs(lateral) - plan.kerb(LEFT), lateral - plan.kerb(RIGHT))
    material[(offset < plan.crossing_half + 2.2) & (beyond > KERB_M)] = Material.SIDEWALK
    material[(offset < plan.crossing_half + KERB_M) & (beyond > 0)] = Material.KERB
    material[offset < plan.crossing_half] = Material.ROAD
    zebra_start = plan.crossing - plan.crossing_half - ZEBRA_M - 0.8
    zebra = (along > zebra_start) & (along < zebra_start + ZEBRA_M) & (beyond < 0)
    material[zebra] = np.where(lateral[zebra] % 1.0 < 0.5, int(Material.LANE_PAINT), int(Material.ROAD))
