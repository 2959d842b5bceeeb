"""Colour of what is visible, shared by both renderers: finish, texture, sun and shadow.

Everything is a look-up on whole frames; a renderer contributes its finishes and its light.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.data.toyworld.materials import FinishTable, Material
from pipelines.data.toyworld.rendering.tiles import TILE_SIDE, tile_stack
from pipelines.data.toyworld.rendering.visible import Visible

TEXTURE_FEATURE_TEXELS = 5.0
"""Size of most tiles' smallest feature: finer pixels show it fully, coarser ones fade it out, as mip maps would."""

VARIANT_STRIDE = {Material.TROUSERS: 3, Material.HAIR: 5, Material.SKIN: 7, Material.ROOF: 3, Material.DOOR: 5}
"""Other materials of the same object take another digit of its variant, so shirts and trousers mix freely."""


@dataclass(frozen=True)
class Light:
    """How strongly things are lit.

    Attributes:
        ambient: Brightness of a face that the sun does not reach.
        direct: Added where the sun falls square.
        shadow: Brightness factor of shaded ground.
        leaf_gradient: Brightness of crowns rises by this from bottom to top.
    """

    ambient: float
    direct: float
    shadow: float
    leaf_gradient: float


def finish_colours(visible: Visible, table: FinishTable) -> np.ndarray:
    """Unlit colour with texture: float32 (H, W, 3) around [0, 1]."""
    stride = np.ones(len(Material), np.int64)
    for material, digits in VARIANT_STRIDE.items():
        stride[material] = digits
    material = visible.material
    variant = (visible.variant // stride[material]) % table.variants[material]
    most_variants = table.palette.shape[1]
    colour = table.palette.reshape(-1, 3).take(material * np.int64(most_variants) + variant, axis=0)
    metres = table.metres[material]
    texels = TILE_SIDE / metres
    column = (visible.u * texels).astype(np.int64) % TILE_SIDE
    row = (visible.v * texels).astype(np.int64) % TILE_SIDE
    texture = tile_stack()[1].take((table.tile[material] * TILE_SIDE + row) * TILE_SIDE + column)
    resolved = np.clip(TEXTURE_FEATURE_TEXELS / TILE_SIDE * metres / visible.grain_m, 0, 1)
    return colour * (1 + table.contrast[material] * resolved * texture)[..., None]


def brightness(visible: Visible, light: Light, shadow: np.ndarray) -> np.ndarray:
    """Factor on the unlit colour: float32 (H, W).

    Args:
        visible: What is seen.
        light: The renderer's light.
        shadow: float32 (H, W) share of shade, 0..1; hard or soft as the renderer likes.
    """
    lit = light.ambient + light.direct * visible.lambert
    lit = lit * (1 - (1 - light.shadow) * shadow)
    leaf = visible.material == Material.LEAF
    return np.where(leaf, lit * (1 + light.leaf_gradient * (visible.crown - 0.5)), lit).astype(np.float32)
