"""From a scene to what each pixel sees: class, material, place on the surface, light. No colour yet."""

from dataclasses import dataclass

import numpy as np

from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.raster import NO_FACE, FaceArrays, Surfaces, View, draw_faces, empty_surfaces
from pipelines.data.toyworld.scene import Scene
from pipelines.data.toyworld.scenery.facade import facade_parts
from pipelines.data.toyworld.scenery.ground import GROUND_TRAIN_IDS, ground_material

TEXTURE_SHIFT_M = 3.7  # neighbouring faces start at other places of the same tile
FAR_M = 400.0


@dataclass(frozen=True)
class Visible:
    """Per-pixel facts a renderer colours; every array is (height, width).

    Attributes:
        train_id: uint8.
        material: uint8 material ids.
        variant: int64.
        u, v: float32 metres along the surface; for the ground world x and z.
        depth: float32 metres, FAR_M for the sky.
        grain_m: float32 metres that one pixel covers along the surface.
        lambert: float32 cosine between the surface and the sun, >= 0.
        crown: float32 0..1 from the bottom to the top of the face.
        shadow: bool, on the ground only.
        azimuth, elevation: float32 radians of the ray in world axes.
    """

    train_id: np.ndarray
    material: np.ndarray
    variant: np.ndarray
    u: np.ndarray
    v: np.ndarray
    depth: np.ndarray
    grain_m: np.ndarray
    lambert: np.ndarray
    crown: np.ndarray
    shadow: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray


def see(scene: Scene, distortion: float, width: int, height: int) -> Visible:
    """Everything a camera of the given lens sees of a scene at width x height pixels."""
    view = scene.view(distortion)
    across, up, ahead = _world_rays(view, width, height)
    surfaces = empty_surfaces(width, height)
    ground_nearness = np.maximum(-up / scene.eye[1], 0).astype(np.float32)
    on_ground = ground_nearness > 1 / FAR_M
    surfaces.inverse_depth[:] = np.where(on_ground, ground_nearness, 0)
    draw_faces(view, scene.faces, surfaces)

    standing = surfaces.face != NO_FACE
    on_ground &= ~standing
    depth = 1 / np.maximum(surfaces.inverse_depth, 1 / FAR_M)
    fields = _sky_fields(surfaces, depth, focal_pixels=view.focal * width)
    fields["azimuth"] = np.arctan2(across, ahead)
    fields["elevation"] = np.arctan2(up, np.hypot(across, ahead))
    _fill_ground(scene, fields, on_ground, across, ahead)
    _fill_faces(scene, fields, surfaces, standing)
    fields["shadow"] = _shadowed(view, scene.shadows, on_ground)
    return Visible(**fields)


def _world_rays(view: View, width: int, height: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """World x, y, z of the rays whose camera z is 1."""
    x, y = view.rays(width, height)
    turn = view.rotation.astype(np.float32)
    across, up, ahead = (x * turn[0, axis] + y * turn[1, axis] + turn[2, axis] for axis in range(3))
    return across, up, ahead


def _sky_fields(surfaces: Surfaces, depth: np.ndarray, focal_pixels: float) -> dict[str, np.ndarray]:
    """All fields as if there were only sky, apart from depth."""
    shape = depth.shape
    return {
        "train_id": np.full(shape, GROUND_TRAIN_IDS[Material.SKY], np.uint8),
        "material": np.full(shape, int(Material.SKY), np.uint8),
        "variant": np.zeros(shape, np.int64),
        "u": np.zeros(shape, np.float32),
        "v": np.zeros(shape, np.float32),
        "depth": depth,
        "grain_m": depth / focal_pixels,
        "lambert": np.ones(shape, np.float32),
        "crown": surfaces.t,
    }


def _fill_ground(
    scene: Scene, fields: dict[str, np.ndarray], on_ground: np.ndarray, across: np.ndarray, ahead: np.ndarray
) -> None:
    depth = fields["depth"][on_ground]
    x = scene.eye[0] + across[on_ground] * depth
    along = scene.eye[2] + ahead[on_ground] * depth
    material = ground_material(scene.plan, x, along)
    fields["material"][on_ground] = material
    fields["train_id"][on_ground] = GROUND_TRAIN_IDS[material]
    fields["u"][on_ground], fields["v"][on_ground] = x, along
    # Seen at a slant, a pixel covers more of the road along the ray than across it.
    fields["grain_m"][on_ground] *= np.maximum(1, 0.4 * depth / scene.eye[1])
    fields["lambert"][on_ground] = scene.sun[1]


def _fill_faces(scene: Scene, fields: dict[str, np.ndarray], surfaces: Surfaces, standing: np.ndarray) -> None:
    faces = scene.faces
    index = surfaces.face[standing]
    length = np.linalg.norm(faces.edge_u, axis=1).astype(np.float32)
    height = np.linalg.norm(faces.edge_v, axis=1).astype(np.float32)
    u, v = surfaces.s[standing] * length[index], surfaces.t[standing] * height[index]
    material, variant = surfaces.material[standing], faces.variant[index]
    wall = np.flatnonzero(material == Material.FACADE)
    on = index[wall]
    material[wall], variant[wall] = facade_parts(u[wall], v[wall], length[on], height[on], faces.variant[on])
    fields["material"][standing], fields["variant"][standing] = material, variant
    fields["train_id"][standing] = faces.train_id[index]
    fields["u"][standing], fields["v"][standing] = u + TEXTURE_SHIFT_M * index, v
    fields["lambert"][standing] = _lambert(scene)[index]


def _lambert(scene: Scene) -> np.ndarray:
    """Cosine between each face, turned towards the eye, and the sun; float32 (N,), >= 0."""
    faces = scene.faces
    normal = np.cross(faces.edge_u, faces.edge_v)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    facing = np.einsum("nk,nk->n", scene.eye - faces.origin, normal)
    return np.maximum(np.where(facing < 0, -1, 1) * (normal @ scene.sun), 0).astype(np.float32)


def _shadowed(view: View, shadows: FaceArrays, on_ground: np.ndarray) -> np.ndarray:
    height, width = on_ground.shape
    layer = empty_surfaces(width, height)
    layer.inverse_depth[~on_ground] = np.inf  # nothing is nearer: most of each shadow need not be drawn
    draw_faces(view, shadows, layer)
    return layer.face != NO_FACE


def halve_labels(train_id: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Train ids at half the size: three votes of four win, else the nearest surface, so that thin things stay whole.

    Args:
        train_id: uint8 (2H, 2W).
        depth: float32 of the same shape, metres.

    Returns:
        uint8 (H, W).
    """
    votes = _quads(train_id)
    ordered = np.sort(votes, axis=-1)
    majority = (ordered[..., 0] == ordered[..., 2]) | (ordered[..., 1] == ordered[..., 3])
    nearest = np.take_along_axis(votes, _quads(depth).argmin(-1)[..., None], axis=-1)[..., 0]
    return np.where(majority, ordered[..., 1], nearest)


def _quads(field: np.ndarray) -> np.ndarray:
    """(2H, 2W) -> (H, W, 4)."""
    height, width = field.shape
    return field.reshape(height // 2, 2, width // 2, 2).swapaxes(1, 2).reshape(height // 2, width // 2, 4)
