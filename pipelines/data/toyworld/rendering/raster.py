"""Perspective projection and a z-buffer for textured parallelograms.

A parallelogram origin + s * edge_u + t * edge_v is hit by the ray d where [edge_u edge_v origin] (s, t, 1) is parallel
to d. The inverse of that 3x3 matrix thus gives, linearly per ray, s, t and the inverse depth: exact perspective texture
coordinates without clipping. Lens distortion bends the rays, not the picture: image and label cannot drift apart.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.data.toyworld.scenery.stencils import STENCIL_SIDE, stencil_stack

NEAR_M = 0.3
NO_FACE = -1


@dataclass(frozen=True)
class View:
    """Where the camera is and how it sees. World axes: x right, y up, z forward, metres.

    Attributes:
        eye: float (3,) position.
        rotation: float (3, 3); its rows are the camera's right, down and forward in world axes.
        focal: Focal length in image widths.
        distortion: k in ideal radius = seen radius * (1 + k * seen radius**2), radii in focal lengths; > 0 is barrel.
    """

    eye: np.ndarray
    rotation: np.ndarray
    focal: float
    distortion: float = 0.0

    def rays(self, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Ideal x/z and y/z of every pixel centre, two float32 (height, width) in camera axes."""
        scale = self.focal * width
        x = ((np.arange(width) + 0.5 - width / 2) / scale).astype(np.float32)[None]
        y = ((np.arange(height) + 0.5 - height / 2) / scale).astype(np.float32)[:, None]
        stretch = 1 + np.float32(self.distortion) * (x * x + y * y)
        return x * stretch, y * stretch

    def project(self, points: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates (..., 2) and depth (...) of world points (..., 3); depth <= 0 lies behind the camera."""
        inside = (points - self.eye) @ self.rotation.T
        return self._to_pixels(inside, width, height), inside[..., 2]

    def _to_pixels(self, inside: np.ndarray, width: int, height: int) -> np.ndarray:
        ideal = inside[..., :2] / np.maximum(inside[..., 2:], 1e-6)
        ideal_radius = np.linalg.norm(ideal, axis=-1, keepdims=True)
        seen = np.minimum(ideal_radius, 2.0)  # far outside any picture; keeps the iteration stable
        for _ in range(8):
            seen = ideal_radius / (1 + self.distortion * np.minimum(seen, 2.0) ** 2)
        shrink = np.where(ideal_radius > 1e-9, seen / np.maximum(ideal_radius, 1e-9), 1.0)
        return ideal * shrink * (self.focal * width) + np.array([width / 2, height / 2])


@dataclass(frozen=True)
class FaceArrays:
    """N textured parallelograms in world axes, origin at the lower left, edge_v upwards."""

    origin: np.ndarray  # float64 (N, 3)
    edge_u: np.ndarray  # float64 (N, 3)
    edge_v: np.ndarray  # float64 (N, 3)
    train_id: np.ndarray  # uint8 (N,)
    material: np.ndarray  # uint8 (N,), used where stencil is -1
    stencil: np.ndarray  # int64 (N,), index into the stencil stack or -1
    variant: np.ndarray  # int64 (N,)


@dataclass(frozen=True)
class Surfaces:
    """What each pixel sees; every array is (height, width)."""

    inverse_depth: np.ndarray  # float32 1/m, 0 where nothing was hit
    face: np.ndarray  # int32 index into the faces, NO_FACE where none was hit
    s: np.ndarray  # float32 in [0, 1) along edge_u
    t: np.ndarray  # float32 in [0, 1) along edge_v
    material: np.ndarray  # uint8


def empty_surfaces(width: int, height: int) -> Surfaces:
    """A picture that sees nothing yet."""
    shape = (height, width)
    return Surfaces(
        inverse_depth=np.zeros(shape, np.float32),
        face=np.full(shape, NO_FACE, np.int32),
        s=np.zeros(shape, np.float32),
        t=np.zeros(shape, np.float32),
        material=np.zeros(shape, np.uint8),
    )


def _boxes(view: View, corners: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixel boxes x0, y0, x1, y1 (N, 4) around faces given as camera-axes corners (N, 4, 3) in ring order."""
    following = np.roll(corners, -1, axis=1)
    depth, next_depth = corners[..., 2], following[..., 2]
    crosses = (depth < NEAR_M) != (next_depth < NEAR_M)
    share = np.where(crosses, (NEAR_M - depth) / np.where(crosses, next_depth - depth, 1.0), 0.0)
    cuts = corners + share[..., None] * (following - corners)
    points = np.concatenate([corners, cuts], axis=1)
    visible = np.concatenate([depth >= NEAR_M, crosses], axis=1)[..., None]
    pixels = view._to_pixels(points, width, height)
    low = np.where(visible, pixels, np.inf).min(axis=1)
    high = np.where(visible, pixels, -np.inf).max(axis=1)
    # Edges bow under distortion: a straight edge's middle lies outside the box of its ends by a few per cent at most.
    margin = 1 + np.abs(view.distortion) * 0.1 * width
    limits = np.array([width, height])
    low = np.floor(np.clip(low - margin, 0, limits)).astype(np.int64)
    high = np.ceil(np.clip(high + margin, 0, limits)).astype(np.int64)
    return np.concatenate([low, high], axis=1)


def draw_faces(view: View, faces: FaceArrays, surfaces: Surfaces) -> None:
    """Draw faces into `surfaces` in place; what is nearer stays, whatever the order of the faces."""
    height, width = surfaces.face.shape
    if len(faces.origin) == 0:
        return
    ray_x, ray_y = view.rays(width, height)
    origin = (faces.origin - view.eye) @ view.rotation.T
    edge_u, edge_v = faces.edge_u @ view.rotation.T, faces.edge_v @ view.rotation.T
    corners = np.stack([origin, origin + edge_u, origin + edge_u + edge_v, origin + edge_v], axis=1)
    boxes = _boxes(view, corners, width, height)
    planes = np.stack([edge_u, edge_v, origin], axis=2)  # (N, 3, 3), columns
    seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    seen &= np.abs(np.linalg.det(planes)) > 1e-7  # edge-on
    indices = np.flatnonzero(seen)
    indices = indices[np.argsort(corners[indices, :, 2].min(axis=1), kind="stable")]  # near first: the rest writes less
    inverses = np.linalg.inv(planes[indices]).astype(np.float32)
    for index, inverse in zip(indices, inverses, strict=True):
        _draw_face(index, inverse, boxes[index], ray_x, ray_y, faces, surfaces)


def _draw_face(
    index: int,
    inverse: np.ndarray,
    box: np.ndarray,
    ray_x: np.ndarray,
    ray_y: np.ndarray,
    faces: FaceArrays,
    surfaces: Surfaces,
) -> None:
    x0, y0, x1, y1 = (int(side) for side in box)
    window = (slice(y0, y1), slice(x0, x1))
    x, y = ray_x[window], ray_y[window]
    nearness = inverse[2, 0] * x + inverse[2, 1] * y + inverse[2, 2]
    hit = nearness > surfaces.inverse_depth[window]
    if not hit.any():
        return
    s_times = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
    t_times = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
    hit &= (s_times >= 0) & (t_times >= 0) & (s_times < nearness) & (t_times < nearness)
    rows, columns = np.nonzero(hit)
    if len(rows) == 0:
        return
    near = nearness[rows, columns]
    s, t = s_times[rows, columns] / near, t_times[rows, columns] / near
    material = faces.material[index]
    if faces.stencil[index] >= 0:
        column = np.minimum((s * STENCIL_SIDE).astype(np.int64), STENCIL_SIDE - 1)
        row = np.minimum(((1 - t) * STENCIL_SIDE).astype(np.int64), STENCIL_SIDE - 1)
        material = stencil_stack()[faces.stencil[index]][row, column]
        solid = material != 0
        rows, columns, near, s, t, material = (part[solid] for part in (rows, columns, near, s, t, material))
    rows, columns = rows + y0, columns + x0
    surfaces.inverse_depth[rows, columns] = near
    surfaces.face[rows, columns] = index
    surfaces.s[rows, columns] = s
    surfaces.t[rows, columns] = t
    surfaces.material[rows, columns] = material
