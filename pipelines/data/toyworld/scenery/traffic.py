"""Builders of what moves or might: vehicles, cyclists and people."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.scenery.stencils import WALKERS
from pipelines.data.toyworld.scenery.street import SIGN, UP, FaceList, StreetPlan, right_of, turned
from pipelines.data.toyworld.scenery.trees import facing_eye
from pipelines.data.toyworld.scenery.vehicles import VEHICLES

CAR_KINDS, CAR_SHARES = ("saloon", "hatchback", "van"), (0.42, 0.42, 0.16)


def add_vehicle(faces: FaceList, kind: str, middle: np.ndarray, heading: np.ndarray, variant: int) -> None:
    """A vehicle standing on the ground with its middle at `middle`, its front along `heading`."""
    model = VEHICLES[kind]
    across = right_of(heading) * model.width
    rear_left = middle - 0.5 * model.length * heading - 0.5 * across
    centre = middle + 0.5 * model.height * UP
    corners = [rear_left + x * model.length * heading + y * model.height * UP for x, y in model.outline]
    for first, last, look in zip(corners[:-1], corners[1:], model.pieces, strict=True):
        if last[1] < first[1] - 1e-9 and look != "windscreen" and isinstance(look, str):
            first, last = last, first  # a front goes down in the outline; its picture stands upright
        if look == "windscreen":
            low, high = (first, last) if first[1] < last[1] else (last, first)
            faces.add(low, across, high - low, model.train_id, f"{kind} windscreen", variant, centre)
        else:
            faces.add(first, across, last - first, model.train_id, look, variant, centre)
    length, height = model.length * heading, model.height * UP
    for side in (rear_left, rear_left + across):
        faces.add(side, length, height, model.train_id, f"{kind} side", variant, centre)
        faces.add_wall_shadow(side, length, 0.85 * model.height)
    faces.add_wall_shadow(rear_left, across, 0.85 * model.height)
    faces.add_shadow(rear_left, length, across)


def add_parked_cars(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int, density: float) -> None:
    """Cars along the kerb, one per slot of about six metres with probability `density`."""
    lateral = SIGN[side] * (plan.kerb(side) - 1.05)
    along = rng.uniform(5, 12)
    while along < 85:
        if rng.random() < density and plan.is_open(along - 3, along + 3, margin=5.5):
            heading = plan.heading(along) * (1 if rng.random() < 0.9 else -1) * SIGN[side]
            middle = plan.point(lateral + rng.uniform(-0.1, 0.1), along)
            add_vehicle(faces, str(rng.choice(CAR_KINDS, p=CAR_SHARES)), middle, heading, int(rng.integers(0, 4096)))
        along += rng.uniform(5.4, 7.5)


def add_moving_vehicles(rng: np.random.Generator, plan: StreetPlan, faces: FaceList) -> None:
    """Cars ahead and oncoming, now and then a bus, a truck or a tram."""
    taken: set[tuple[int, int]] = set()
    plans = [(str(rng.choice(CAR_KINDS, p=CAR_SHARES)), probability) for probability in (1.0, 0.6, 0.6)]
    plans += [("bus", 0.3), ("truck", 0.33), ("tram", 0.14)]
    for kind, probability in reversed(plans):
        lane = int(rng.integers(0, plan.lanes))
        direction = int(rng.integers(0, 2))
        along = float(rng.uniform(11, 55)) + VEHICLES[kind].length / 2
        variant = int(rng.integers(0, 4096))
        slots = {(2 * lane + direction, round(along + shift) // 14) for shift in (-7, 0, 7)}
        if rng.random() > probability or slots & taken:
            continue
        taken |= slots
        lateral = SIGN[direction] * (lane + 0.5) * plan.lane_m
        add_vehicle(faces, kind, plan.point(lateral, along), SIGN[direction] * plan.heading(along), variant)


def add_person(rng: np.random.Generator, faces: FaceList, foot: np.ndarray) -> None:
    """A person on foot who faces the camera, or turned away by half a quarter."""
    height = rng.uniform(1.55, 1.9)
    across = turned(facing_eye(faces, foot), rng.uniform(-0.6, 0.6)) * rng.choice([-1, 1])
    pose = f"walker {rng.integers(0, WALKERS)}"
    faces.add_upright(foot, across, 0.52 * height, height, TrainId.PERSON, pose, int(rng.integers(0, 4096)))
    faces.add_wall_shadow(foot - 0.2 * across, 0.4 * across, height, pose)


def add_people(rng: np.random.Generator, plan: StreetPlan, faces: FaceList, side: int, expected: float) -> None:
    """People on one sidewalk, alone or in twos; at the side street a few on the zebra."""
    for _ in range(rng.poisson(expected)):
        along = rng.uniform(5, 35)
        lateral = plan.walk_start(side) + rng.uniform(0.4, plan.walk[side] - 0.3)
        for companion in range(rng.integers(1, 3)):
            add_person(rng, faces, plan.point(SIGN[side] * (lateral - 0.5 * companion), along + 0.3 * companion))
    if plan.crossing is not None and rng.random() < 0.7:
        along = plan.crossing - plan.crossing_half - 2
        add_person(rng, faces, plan.point(rng.uniform(-plan.kerb(0), plan.kerb(1)), along))


def add_cycle(
    rng: np.random.Generator, faces: FaceList, foot: np.ndarray, heading: np.ndarray, motor: bool, ridden: bool
) -> None:
    """A bicycle or motorcycle, seen from the side or from behind as it stands; its rider sits on top and nearer."""
    variant = int(rng.integers(0, 4096))
    kind, train_id = ("motorcycle", TrainId.MOTORCYCLE) if motor else ("bicycle", TrainId.BICYCLE)
    towards = foot - faces.eye
    towards = np.array([towards[0], 0.0, towards[2]]) / np.hypot(towards[0], towards[2])
    sideways = abs(float(heading @ right_of(towards))) > 0.45
    length, height, width = (1.95, 1.15, 0.8) if motor else (1.7, 1.05, 0.6)
    across = heading if sideways else facing_eye(faces, foot)
    span = length if sideways else width
    view = "side" if sideways else "rear"
    faces.add_upright(foot, across, span, height, train_id, f"{kind} {view}", variant)
    faces.add_wall_shadow(foot - 0.5 * span * across, span * across, height, f"{kind} {view}")
    if ridden:
        nearer = foot - 0.12 * towards
        seat = nearer + 0.32 * UP + (-0.12 * across if sideways else 0)
        rider_span = 1.15 if sideways else 0.8
        faces.add_upright(seat, across, rider_span, 1.4, TrainId.RIDER, f"rider {view}", variant)
        faces.add_wall_shadow(foot - 0.3 * across, 0.6 * across, 1.7, f"rider {view}")


def add_cycles(rng: np.random.Generator, plan: StreetPlan, faces: FaceList) -> None:
    """Riders in the lanes and cycles left on the sidewalks."""
    for motor, expected in ((False, 1.2), (True, 0.8)):
        for _ in range(rng.poisson(expected)):
            direction = int(rng.integers(0, 2))
            along = rng.uniform(7, 28)
            lateral = SIGN[direction] * (plan.lanes * plan.lane_m - rng.uniform(0.3, 0.9))
            heading = turned(SIGN[direction] * plan.heading(along), rng.normal(0, 0.35))
            add_cycle(rng, faces, plan.point(lateral, along), heading, motor, ridden=True)
        for _ in range(rng.poisson(0.8)):
            side = int(rng.integers(0, 2))
            along = rng.uniform(6, 25)
            lateral = SIGN[side] * (plan.walk_start(side) + rng.uniform(0.5, 1.0))
            heading = turned(plan.heading(along), rng.uniform(0.3, 1.6))
            add_cycle(rng, faces, plan.point(lateral, along), heading, motor, ridden=False)
