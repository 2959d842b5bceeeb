"""The plan of a street and the list of faces that its builders fill.

Everything here is metres and material names; nothing knows pixels or a renderer.
"""

from dataclasses import dataclass, field

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.raster import FaceArrays
from pipelines.data.toyworld.scenery.stencils import stencil_number

LEFT, RIGHT = 0, 1
SIGN = (-1.0, 1.0)
UP = np.array([0.0, 1.0, 0.0])
STREET_END_M = 120.0


@dataclass(frozen=True)
class StreetPlan:
    """A street along z whose centre line lies at x = bend * z**2; pairs are (left, right), widths in metres.

    Attributes:
        bend: 1/m.
        lanes: Driving lanes per direction.
        lane_m: Width of a driving lane.
        parking: Whether cars park along the kerb.
        verge: Grass between kerb and sidewalk.
        walk: Sidewalk.
        garden: Between sidewalk and building line.
        crossing: z of the middle of a side street, or None.
        crossing_half: Half of the side street's width.
    """

    bend: float
    lanes: int
    lane_m: float
    parking: tuple[bool, bool]
    verge: tuple[float, float]
    walk: tuple[float, float]
    garden: tuple[float, float]
    crossing: float | None
    crossing_half: float = 3.6

    def kerb(self, side: int) -> float:
        """Lateral distance from the centre line to the kerb."""
        return self.lanes * self.lane_m + (2.1 if self.parking[side] else 0.4)

    def walk_start(self, side: int) -> float:
        """Lateral distance to the inner edge of the sidewalk."""
        return self.kerb(side) + self.verge[side]

    def building_line(self, side: int) -> float:
        """Lateral distance to the facades."""
        return self.walk_start(side) + self.walk[side] + self.garden[side]

    def point(self, lateral: float, along: float, height: float = 0.0) -> np.ndarray:
        """World point at a signed distance from the centre line."""
        return np.array([lateral + self.bend * along * along, height, along])

    def heading(self, along: float) -> np.ndarray:
        """Unit vector along the street."""
        direction = np.array([2 * self.bend * along, 0.0, 1.0])
        return direction / np.linalg.norm(direction)

    def is_open(self, first: float, last: float, margin: float = 0.0) -> bool:
        """Whether the stretch first..last keeps clear of the side street."""
        if self.crossing is None:
            return True
        half = self.crossing_half + margin
        return last < self.crossing - half or first > self.crossing + half


def right_of(direction: np.ndarray) -> np.ndarray:
    """Horizontal unit vector to the right of a horizontal direction."""
    return np.array([direction[2], 0.0, -direction[0]])


def turned(direction: np.ndarray, angle: float) -> np.ndarray:
    """Horizontal direction turned to the right by `angle` radians."""
    return np.cos(angle) * direction + np.sin(angle) * right_of(direction)


@dataclass
class FaceList:
    """Growing list of parallelograms, and of the shadows they throw on the ground.

    Attributes:
        eye: Camera position; faces of solids that look away from it are left out.
        sun: Unit vector towards the sun.
    """

    eye: np.ndarray
    sun: np.ndarray
    rows: list[tuple] = field(default_factory=list)
    shadow_rows: list[tuple] = field(default_factory=list)

    @property
    def shadow_slope(self) -> np.ndarray:
        """Where the shadow of a point one metre up falls, relative to its foot."""
        return -np.array([self.sun[0], 0.0, self.sun[2]]) / self.sun[1]

    def add(
        self,
        origin: np.ndarray,
        edge_u: np.ndarray,
        edge_v: np.ndarray,
        train_id: TrainId,
        look: Material | str,
        variant: int = 0,
        solid_centre: np.ndarray | None = None,
    ) -> None:
        """Add a parallelogram from its lower left corner; `look` is a material or a stencil's name."""
        if solid_centre is not None:
            centre = origin + 0.5 * (edge_u + edge_v)
            normal = np.cross(edge_u, edge_v)
            if ((centre - solid_centre) @ normal) * ((self.eye - centre) @ normal) < 0:
                return
        self.rows.append((origin, edge_u, edge_v, train_id, *_material_and_stencil(look), variant))

    def add_shadow(
        self, origin: np.ndarray, edge_u: np.ndarray, edge_v: np.ndarray, stencil: str | None = None
    ) -> None:
        """Add a shadow lying on the ground."""
        row = (origin, edge_u, edge_v, 0, *_material_and_stencil(stencil or Material.ROAD), 0)
        self.shadow_rows.append(row)

    def add_wall_shadow(self, foot: np.ndarray, edge_u: np.ndarray, height: float, stencil: str | None = None) -> None:
        """Shadow of an upright parallelogram standing on foot .. foot + edge_u."""
        ground = np.array([foot[0], 0.0, foot[2]])
        self.add_shadow(ground, edge_u, self.shadow_slope * height, stencil)

    def add_upright(
        self,
        middle: np.ndarray,
        facing: np.ndarray,
        width: float,
        height: float,
        train_id: TrainId,
        look: Material | str,
        variant: int = 0,
    ) -> None:
        """Add an upright rectangle whose lower edge is centred on `middle` and runs along `facing`."""
        self.add(middle - 0.5 * width * facing, width * facing, height * UP, train_id, look, variant)

    def faces(self) -> FaceArrays:
        """The faces as arrays."""
        return _arrays(self.rows)

    def shadows(self) -> FaceArrays:
        """The shadows as arrays; their class and material mean nothing."""
        return _arrays(self.shadow_rows)


def _material_and_stencil(look: Material | str) -> tuple[int, int]:
    if isinstance(look, Material):
        return int(look), -1
    return 0, stencil_number(look)


def _arrays(rows: list[tuple]) -> FaceArrays:
    columns = list(zip(*rows, strict=True)) if rows else [[]] * 7
    origin, edge_u, edge_v, train_id, material, stencil, variant = columns
    return FaceArrays(
        origin=np.array(origin, np.float64).reshape(-1, 3),
        edge_u=np.array(edge_u, np.float64).reshape(-1, 3),
        edge_v=np.array(edge_v, np.float64).reshape(-1, 3),
        train_id=np.array(train_id, np.uint8),
        material=np.array(material, np.uint8),
        stencil=np.array(stencil, np.int64),
        variant=np.array(variant, np.int64),
    )
