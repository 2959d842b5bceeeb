"""Trees: a trunk and a few irregular crowns that face the camera."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.stencils import CROWNS
from pipelines.data.toyworld.scenery.street import UP, FaceList, right_of


def facing_eye(faces: FaceList, point: np.ndarray) -> np.ndarray:
    """Horizontal unit vector along which a picture at `point` must lie to face the camera."""
    towards = point - faces.eye
    towards = np.array([towards[0], 0.0, towards[2]])
    return right_of(towards / max(np.linalg.norm(towards), 1e-6))


def add_tree(rng: np.random.Generator, faces: FaceList, foot: np.ndarray, size: float = 1.0) -> None:
    """A tree about 6 m high at size 1; a column, a ball or a spreading crown."""
    across = facing_eye(faces, foot)
    trunk_height = rng.uniform(1.9, 2.6) * size
    radius = rng.uniform(1.5, 2.1) * size
    variant = int(rng.integers(0, 4096))
    reach = trunk_height + 0.8 * radius
    faces.add_upright(foot, across, 0.26 * size, reach, TrainId.VEGETATION, Material.TRUNK, variant)
    spread, lift = ((0.35, 1.3), (0.5, 0.8), (0.95, 0.6))[rng.integers(0, 3)]
    towards_eye = -np.array([-across[2], 0.0, across[0]])
    for number in range(4):
        aside = rng.uniform(-spread, spread) * radius
        above = trunk_height + rng.uniform(0.0, lift) * radius
        part = radius * rng.uniform(0.7, 1.0)
        middle = foot + aside * across + 0.3 * (number - 1.5) * towards_eye
        crown = f"crown {rng.integers(0, CROWNS)}"
        faces.add_upright(middle + above * UP, across, 2 * part, 2 * part, TrainId.VEGETATION, crown, variant)
    _add_tree_shadow(faces, foot, trunk_height, radius, f"crown {rng.integers(0, CROWNS)}", across)


def _add_tree_shadow(
    faces: FaceList, foot: np.ndarray, trunk_height: float, radius: float, crown: str, across: np.ndarray
) -> None:
    slope = faces.shadow_slope
    faces.add_wall_shadow(foot - 0.13 * across, 0.26 * across, trunk_height)
    middle = foot + (trunk_height + radius) * slope
    length = max(float(np.linalg.norm(slope)), 0.8)
    along = slope / max(float(np.linalg.norm(slope)), 1e-6)
    faces.add_shadow(middle - radius * (right_of(along) + along * length), 2 * radius * right_of(along),
                     2 * radius * length * along, crown)  # fmt: skip
