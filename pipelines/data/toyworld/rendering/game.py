"""The game renderer: what a plain driving game looks like.

Vivid flat materials, tiled textures, a blue sky, strong fill light and hard black shadows, no lens at all. Each
constant is one part of the gap to the camera; moving it towards the camera's value narrows the gap.
"""

import cv2
import numpy as np

from pipelines.data.toyworld.materials import Finish, Material, finish_table
from pipelines.data.toyworld.rendering.shading import Light, brightness, finish_colours
from pipelines.data.toyworld.rendering.tiles import TILE_SIDE, tile_stack
from pipelines.data.toyworld.rendering.visible import halve_labels, see
from pipelines.data.toyworld.scene import Scene

SUPERSAMPLING = 2  # `halve_labels` expects 2
"""Games smooth edges a little; more would cost time and blur the crispness that sets the game apart."""

LIGHT = Light(ambient=0.72, direct=0.38, shadow=0.45, leaf_gradient=0.5)
"""Strong fill light and black shadows: a game has one sun and a constant for everything else."""

ZENITH, HORIZON, CLOUD = (46, 118, 235), (150, 205, 255), (255, 255, 255)
"""A sky-box: saturated blue with a few hard-edged white clouds."""

CLOUD_THRESHOLD = 0.75
"""Tile value above which a cloud is drawn."""

HAZE_M = 900.0
"""Depth over which colour fades to the horizon by 1/e; games of this kind draw almost none."""

FINISHES = {
    Material.SKY: Finish((HORIZON,)),
    Material.ROAD: Finish(((82, 86, 114),), "tufts", 4.0, 0.06),
    Material.LANE_PAINT: Finish(((250, 250, 245),)),
    Material.SIDEWALK: Finish(((190, 184, 178),), "slabs", 3.0, 0.14),
    Material.KERB: Finish(((224, 220, 214),)),
    Material.GRASS: Finish(((98, 200, 60),), "tufts", 3.0, 0.14),
    Material.FACADE: Finish(((236, 190, 104), (226, 112, 88), (244, 236, 220), (116, 176, 166), (240, 214, 160),
                             (190, 158, 206), (214, 150, 110), (170, 208, 170))),
    Material.FLANK: Finish(((236, 190, 104), (226, 112, 88), (244, 236, 220), (116, 176, 166), (240, 214, 160),
                            (190, 158, 206), (214, 150, 110), (170, 208, 170))),
    Material.TRIM: Finish(((252, 250, 244),)),
    Material.WINDOW: Finish(((24, 84, 104), (32, 98, 118), (18, 70, 90), (50, 116, 132))),
    Material.DOOR: Finish(((140, 62, 36), (40, 110, 70), (40, 70, 140))),
    Material.SHOP: Finish(((220, 40, 50), (30, 130, 80), (240, 170, 20), (40, 80, 180))),
    Material.ROOF: Finish(((204, 74, 48), (180, 64, 60), (120, 88, 96)), "shingles", 3.0, 0.16),
    Material.WALL: Finish(((206, 160, 110), (196, 176, 150)), "slabs", 2.0, 0.2),
    Material.FENCE: Finish(((160, 98, 48), (176, 116, 60)), "pickets", 2.0, 0.35),
    Material.POLE: Finish(((132, 138, 146),)),
    Material.LIGHT_HOUSING: Finish(((26, 26, 30),)),
    Material.LAMP_RED: Finish(((255, 30, 30),)),
    Material.LAMP_AMBER: Finish(((255, 190, 20),)),
    Material.LAMP_GREEN: Finish(((30, 255, 90),)),
    Material.SIGN_FACE: Finish(((255, 255, 255), (255, 225, 40))),
    Material.SIGN_RIM: Finish(((235, 20, 30),)),
    Material.SIGN_BLUE: Finish(((20, 80, 230),)),
    Material.LEAF: Finish(((58, 170, 44), (76, 184, 50), (44, 150, 60), (110, 186, 44)), "cartoon leaves", 4.0, 0.22),
    Material.TRUNK: Finish(((124, 78, 40),)),
    Material.SKIN: Finish(((250, 196, 150), (170, 110, 70), (236, 170, 120))),
    Material.HAIR: Finish(((60, 36, 20), (240, 200, 80), (20, 20, 24))),
    Material.SHIRT: Finish(((250, 60, 60), (255, 220, 40), (255, 130, 30), (240, 60, 190), (60, 220, 220),
                            (250, 250, 250), (150, 60, 230), (60, 90, 240))),
    Material.TROUSERS: Finish(((40, 60, 160), (60, 50, 50), (110, 80, 160), (30, 30, 40))),
    Material.SHOE: Finish(((30, 30, 30),)),
    Material.CAR_PAINT: Finish(((226, 26, 36), (30, 84, 226), (250, 206, 20), (246, 246, 250), (24, 166, 84),
                                (250, 120, 20), (150, 40, 200), (36, 36, 46))),
    Material.BUS_PAINT: Finish(((250, 196, 20), (220, 30, 40), (30, 150, 120))),
    Material.TRUCK_CAB: Finish(((240, 90, 30), (40, 90, 220), (230, 230, 230))),
    Material.TARPAULIN: Finish(((60, 120, 230), (240, 240, 236), (220, 60, 50), (60, 170, 90))),
    Material.TRAM_PAINT: Finish(((240, 240, 230), (230, 60, 60))),
    Material.GLASS: Finish(((20, 70, 92),)),
    Material.TYRE: Finish(((22, 22, 26),)),
    Material.UNDERBODY: Finish(((38, 38, 44),)),
    Material.CHROME: Finish(((200, 204, 212),)),
    Material.HEADLAMP: Finish(((255, 255, 220),)),
    Material.TAIL_LAMP: Finish(((255, 40, 40),)),
    Material.PLATE: Finish(((255, 240, 120),)),
    Material.CYCLE_FRAME: Finish(((230, 40, 40), (30, 120, 230), (40, 190, 80))),
    Material.MOTORCYCLE_PAINT: Finish(((210, 30, 30), (30, 60, 200), (250, 180, 20))),
}  # fmt: skip
"""One look per material; saturated, and flat but for a tiled pattern."""

TABLE = finish_table(FINISHES)


def render_game(scene: Scene, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene as the game shows it.

    Args:
        scene: What to draw.
        size: Width and height in pixels.

    Returns:
        Image uint8 (height, width, 3) RGB and train ids uint8 (height, width).
    """
    width, height = size
    visible = see(scene, 0.0, SUPERSAMPLING * width, SUPERSAMPLING * height)
    colour = finish_colours(visible, TABLE)
    colour *= brightness(visible, LIGHT, visible.shadow.astype(np.float32))[..., None]
    haze = np.exp(-visible.depth / HAZE_M)[..., None]
    colour = haze * colour + (1 - haze) * (np.array(HORIZON, np.float32) / 255)
    sky = visible.material == Material.SKY
    colour[sky] = _sky(visible.azimuth[sky], visible.elevation[sky])
    small = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
    return np.clip(small * 255 + 0.5, 0, 255).astype(np.uint8), halve_labels(visible.train_id, visible.depth)


def _sky(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Sky-box colours (N, 3) of ray directions in radians (N,)."""
    high = np.clip(elevation / 0.35, 0, 1)[:, None]
    zenith, horizon, cloud = (np.array(colour, np.float32) / 255 for colour in (ZENITH, HORIZON, CLOUD))
    names, tiles = tile_stack()
    row = (elevation * 500).astype(np.int64) % TILE_SIDE
    column = (azimuth * 220).astype(np.int64) % TILE_SIDE
    covered = tiles[names.index("clouds"), row, column] > CLOUD_THRESHOLD
    return np.where(covered[:, None], cloud, (1 - high) * horizon + high * zenith)
