"""A seeded procedural street: plan, camera pose, sun and faces, before any pixel.

Both renderers draw scenes of this one generator, so class shares and shapes agree and only appearance differs.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.data.toyworld.rendering.raster import FaceArrays, View
from pipelines.data.toyworld.scenery.furniture import add_furniture, add_street_trees
from pipelines.data.toyworld.scenery.houses import add_far_end, add_house_row
from pipelines.data.toyworld.scenery.street import LEFT, RIGHT, FaceList, StreetPlan
from pipelines.data.toyworld.scenery.traffic import add_cycles, add_moving_vehicles, add_parked_cars, add_people

FOCAL_WIDTHS = 0.95
"""Horizontal field of view of 56 degrees, between Cityscapes' 50 and a dash camera's 90."""


@dataclass(frozen=True)
class Scene:
    """One moment on one street.

    Attributes:
        plan: The ground.
        eye: float (3,) camera position.
        rotation: float (3, 3), see `View`.
        sun: float (3,) unit vector towards the sun.
        faces: Everything that stands.
        shadows: Shadows on the ground.
    """

    plan: StreetPlan
    eye: np.ndarray
    rotation: np.ndarray
    sun: np.ndarray
    faces: FaceArrays
    shadows: FaceArrays

    def view(self, distortion: float) -> View:
        """The scene's camera behind a given lens."""
        return View(self.eye, self.rotation, FOCAL_WIDTHS, distortion)


def draw_scene(rng: np.random.Generator) -> Scene:
    """A street drawn from `rng`; the same generator state gives the same scene."""
    plan = _draw_plan(rng)
    own_lane = rng.integers(0, plan.lanes)
    eye = plan.point((own_lane + 0.5) * plan.lane_m + rng.uniform(-0.4, 0.4), 0.0, rng.uniform(1.25, 1.75))
    rotation = camera_rotation(yaw=rng.normal(0, 0.045), pitch=rng.normal(0.005, 0.02), roll=rng.normal(0, 0.012))
    sun = _draw_sun(rng)
    faces = FaceList(eye, sun)
    openness = rng.uniform(0.05, 0.4)
    parking_density, greenery = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.95)
    crowd = rng.uniform(1.0, 4.0)
    for side in (LEFT, RIGHT):
        add_house_row(rng, plan, faces, side, openness)
        if plan.parking[side]:
            add_parked_cars(rng, plan, faces, side, parking_density)
        add_furniture(rng, plan, faces, side)
        add_people(rng, plan, faces, side, crowd)
    add_far_end(rng, plan, faces)
    add_street_trees(rng, plan, faces, greenery)
    add_moving_vehicles(rng, plan, faces)
    add_cycles(rng, plan, faces)
    return Scene(plan, eye, rotation, sun, faces.faces(), faces.shadows())


def _draw_plan(rng: np.random.Generator) -> StreetPlan:
    def pair(probability: float, low: float, high: float) -> tuple[float, float]:
        left, right = (float(rng.uniform(low, high)) if rng.random() < probability else 0.0 for _ in range(2))
        return left, right

    return StreetPlan(
        bend=float(rng.normal(0, 0.0006)),
        lanes=int(rng.random() < 0.3) + 1,
        lane_m=float(rng.uniform(2.9, 3.5)),
        parking=(bool(rng.random() < 0.55), bool(rng.random() < 0.55)),
        verge=pair(0.35, 1.0, 2.2),
        walk=(float(rng.uniform(2.4, 4.6)), float(rng.uniform(2.4, 4.6))),
        garden=pair(0.5, 1.0, 4.0),
        crossing=float(rng.uniform(20, 48)) if rng.random() < 0.35 else None,
        crossing_half=float(rng.uniform(3.2, 4.5)),
    )


def _draw_sun(rng: np.random.Generator) -> np.ndarray:
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = rng.uniform(np.radians(32), np.radians(65))
    return np.array([np.cos(elevation) * np.sin(azimuth), np.sin(elevation), np.cos(elevation) * np.cos(azimuth)])


def camera_rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rows: right, down and forward of a camera turned right by yaw, down by pitch, clockwise by roll; radians."""
    forward = np.array([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.array([np.cos(yaw), 0.0, -np.sin(yaw)])
    down = np.cross(right, forward)
    return np.stack([np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right, forward])
