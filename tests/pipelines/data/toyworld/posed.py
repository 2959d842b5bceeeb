"""A camera and streets whose pictures can be worked out by hand, for the tests of the toy world."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.rendering.raster import NO_FACE, View, draw_faces, empty_surfaces
from pipelines.data.toyworld.scene import Scene, camera_rotation
from pipelines.data.toyworld.scenery.street import FaceList, StreetPlan

EAST, NORTH = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])
NOTHING = 255
"""Where `painted` shows no face."""


def straight_ahead(distortion: float = 0.0) -> View:
    """A camera 1.5 m above the ground that looks north; its focal length is half a picture's width."""
    return View(np.array([0.0, 1.5, 0.0]), camera_rotation(0, 0, 0), focal=0.5, distortion=distortion)


def face_list(sun: tuple[float, float, float] = (0.0, 1.0, 0.0)) -> FaceList:
    """No faces yet, seen by that camera; the sun stands at the zenith."""
    return FaceList(eye=np.array([0.0, 1.5, 0.0]), sun=np.array(sun))


def painted(faces: FaceList, size: tuple[int, int], train_ids: bool = True) -> np.ndarray:
    """Train ids, or materials, that the camera sees of these faces alone; NOTHING between them."""
    arrays, surfaces = faces.faces(), empty_surfaces(*size)
    draw_faces(straight_ahead(), arrays, surfaces)
    shown = arrays.train_id[surfaces.face] if train_ids else surfaces.material
    return np.where(surfaces.face == NO_FACE, NOTHING, shown)


def straight_street(parking: bool = False, crossing: float | None = None, garden: float = 0.0) -> StreetPlan:
    """One lane of 3 m per direction, no verge, a sidewalk of 2 m; the kerb is at 3.4 m, or 5.1 m with parking."""
    return StreetPlan(0.0, 1, 3.0, (parking, parking), (0.0, 0.0), (2.0, 2.0), (garden, garden), crossing)


def scene_of(faces: FaceList, pitch: float = 0.0) -> Scene:
    """These faces on the straight street, before the camera of every scene: a focal length of 0.95 widths."""
    return Scene(straight_street(), faces.eye, camera_rotation(0, pitch, 0), faces.sun, faces.faces(), faces.shadows())


def of_class(faces: FaceList, train_id: TrainId) -> list[tuple]:
    """Rows of the faces of one class: origin, edge along, edge up, train id, material, stencil, variant."""
    return [row for row in faces.rows if row[3] == train_id]
