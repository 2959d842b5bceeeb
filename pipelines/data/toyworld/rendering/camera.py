"""The camera renderer: what a cheap dash camera makes of the same kind of street.

Muted, weathered materials under a bright hazy sky; then the lens and the sensor. Each constant is one part of the gap
to the game. Every material and variant has one look here for its one look there, so translating is a matter of learning
colours and textures; yet a network that knows the game alone takes asphalt for sidewalk or walls, and sky for facades.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.data.toyworld.materials import Finish, Material, finish_table
from pipelines.data.toyworld.rendering.lens import (
    aberrate,
    blur,
    compress_blocks,
    reduce_by_area,
    sense,
    soften,
    vignette,
)
from pipelines.data.toyworld.rendering.shading import Light, brightness, finish_colours
from pipelines.data.toyworld.rendering.tiles import TILE_SIDE, tile_stack
from pipelines.data.toyworld.rendering.visible import Visible, halve_labels, see
from pipelines.data.toyworld.scene import Scene

SUPERSAMPLING = 2  # `halve_labels` expects 2
"""The sensor integrates over its pixels; 2 is the least that keeps thin poles continuous."""

DISTORTION = 0.09
"""Barrel distortion of a wide cheap lens: the picture's corner shows what lies 3 % further out."""

LIGHT = Light(ambient=0.74, direct=0.26, shadow=0.72, leaf_gradient=0.9)
"""Daylight from the whole sky: weak sun, soft shade, and crowns that darken below."""

SHADOW_BLUR = 0.012
"""Softness of shadows on the ground in image widths."""

HAZE_M = (100.0, 240.0)
"""Range of depths over which colour fades to the haze by 1/e; one draw per frame."""

HAZE_COLOUR = (210, 208, 204)
SKY_TOP, SKY_CLOUD = (196, 206, 218), 0.045
"""A bright overcast sky with a trace of blue, warmer and brighter near the horizon; contrast of its clouds."""

EXPOSURE = (0.86, 1.1)
"""Range of the automatic exposure; one draw per frame."""

WARMTH = (-0.01, 0.05)
"""Range of the white-balance error: red up and blue down by this share; one draw per frame."""

BLACK, GAMMA = 0.05, 0.96
"""Tone curve: stray light lifts black, and the middle tones are lifted a little."""

VIGNETTE = 0.32
"""Light lost in the corners of the picture."""

DEFOCUS = (0.0024, 0.0042)
"""Range of the blur's standard deviation in image widths (0.6 to 1.1 pixels at 256)."""

MOTION = 0.008
"""Longest motion streak in image widths."""

FRINGE = 0.003
"""Chromatic aberration: red is magnified and blue reduced by this share."""

SHOT_NOISE, READ_NOISE = 0.022, 0.01
"""Noise deviations: shot noise grows as the root of brightness, read noise is everywhere; [0, 1] units."""

COMPRESSION = 14.0
"""Step of the block transform's quantiser at the lowest frequency, in 8-bit units; grows with frequency."""

FINISHES = {
    Material.SKY: Finish((HAZE_COLOUR,)),
    Material.ROAD: Finish(((122, 117, 111),), "asphalt", 5.0, 0.11),
    Material.LANE_PAINT: Finish(((196, 190, 176),), "patches", 1.5, 0.1),
    Material.SIDEWALK: Finish(((164, 151, 139),), "pavers", 2.4, 0.16),
    Material.KERB: Finish(((182, 172, 158),), "patches", 2.0, 0.1),
    Material.GRASS: Finish(((104, 116, 62),), "leaves", 2.5, 0.22),
    Material.FACADE: Finish(((150, 112, 82), (126, 76, 60), (180, 168, 150), (112, 104, 104), (146, 122, 92),
                             (118, 92, 88), (108, 68, 54), (124, 118, 98)), "bricks", 4.0, 0.12),
    Material.FLANK: Finish(((146, 110, 82), (122, 74, 60), (176, 164, 148), (108, 102, 102), (142, 118, 90),
                            (114, 90, 86), (104, 66, 54), (120, 114, 96)), "bricks", 4.0, 0.12),
    Material.TRIM: Finish(((176, 168, 152),), "patches", 3.0, 0.08),
    Material.WINDOW: Finish(((52, 54, 56), (66, 66, 64), (44, 46, 48), (92, 94, 94)), "patches", 5.0, 0.2),
    Material.DOOR: Finish(((74, 54, 42), (52, 60, 52), (56, 58, 66)), "patches", 1.0, 0.08),
    Material.SHOP: Finish(((120, 66, 60), (72, 92, 80), (150, 124, 80), (74, 82, 104)), "patches", 3.0, 0.1),
    Material.ROOF: Finish(((112, 74, 60), (98, 72, 66), (84, 78, 78)), "slates", 3.0, 0.16),
    Material.WALL: Finish(((140, 118, 94), (130, 120, 106)), "bricks", 3.0, 0.2),
    Material.FENCE: Finish(((98, 82, 64), (88, 80, 70)), "pickets", 2.0, 0.3),
    Material.POLE: Finish(((96, 96, 94),), "patches", 1.0, 0.1),
    Material.LIGHT_HOUSING: Finish(((48, 48, 44),)),
    Material.LAMP_RED: Finish(((220, 84, 64),)),
    Material.LAMP_AMBER: Finish(((206, 160, 80),)),
    Material.LAMP_GREEN: Finish(((96, 196, 160),)),
    Material.SIGN_FACE: Finish(((218, 214, 204), (206, 186, 104))),
    Material.SIGN_RIM: Finish(((176, 56, 50),)),
    Material.SIGN_BLUE: Finish(((52, 82, 136),)),
    Material.LEAF: Finish(((60, 78, 40), (70, 86, 44), (52, 70, 44), (82, 92, 44)), "leaves", 2.6, 0.3),
    Material.TRUNK: Finish(((82, 70, 58),), "patches", 0.8, 0.2),
    Material.SKIN: Finish(((196, 152, 126), (122, 84, 64), (178, 132, 106))),
    Material.HAIR: Finish(((58, 46, 38), (146, 120, 84), (34, 32, 32))),
    Material.SHIRT: Finish(((128, 62, 60), (168, 150, 96), (150, 98, 68), (120, 70, 98), (84, 112, 118),
                            (176, 172, 166), (82, 66, 98), (62, 70, 102)), "patches", 1.0, 0.12),
    Material.TROUSERS: Finish(((58, 62, 82), (66, 60, 58), (84, 76, 88), (46, 46, 48)), "patches", 1.0, 0.1),
    Material.SHOE: Finish(((44, 42, 40),)),
    Material.CAR_PAINT: Finish(((112, 44, 44), (58, 72, 102), (150, 138, 104), (196, 194, 190), (76, 94, 86),
                                (132, 92, 66), (90, 78, 92), (44, 44, 48)), "patches", 3.0, 0.07),
    Material.BUS_PAINT: Finish(((188, 160, 84), (136, 58, 56), (76, 112, 108)), "patches", 4.0, 0.06),
    Material.TRUCK_CAB: Finish(((156, 88, 60), (66, 84, 120), (176, 174, 170)), "patches", 3.0, 0.06),
    Material.TARPAULIN: Finish(((86, 106, 136), (184, 180, 172), (134, 74, 66), (88, 114, 94)), "patches", 3.0, 0.1),
    Material.TRAM_PAINT: Finish(((192, 186, 170), (150, 74, 68)), "patches", 4.0, 0.06),
    Material.GLASS: Finish(((64, 70, 74),), "patches", 1.5, 0.22),
    Material.TYRE: Finish(((44, 42, 40),)),
    Material.UNDERBODY: Finish(((52, 50, 48),)),
    Material.CHROME: Finish(((140, 140, 138),)),
    Material.HEADLAMP: Finish(((226, 222, 206),)),
    Material.TAIL_LAMP: Finish(((156, 50, 44),)),
    Material.PLATE: Finish(((190, 184, 150),)),
    Material.CYCLE_FRAME: Finish(((110, 58, 54), (60, 78, 106), (72, 94, 74))),
    Material.MOTORCYCLE_PAINT: Finish(((106, 50, 46), (54, 60, 90), (146, 118, 68))),
}  # fmt: skip
"""One look per material, in the order of the game's variants; muted, dusty and textured."""

TABLE = finish_table(FINISHES)


@dataclass(frozen=True)
class Shot:
    """What differs from one exposure to the next; see the constants of the same names."""

    haze_m: float
    exposure: float
    warmth: float
    defocus: float
    motion: tuple[float, float]


def draw_shot(rng: np.random.Generator) -> Shot:
    """A shot drawn from the ranges above."""
    angle, length = rng.uniform(0, np.pi), rng.uniform(0, MOTION)
    return Shot(
        haze_m=float(rng.uniform(*HAZE_M)),
        exposure=float(rng.uniform(*EXPOSURE)),
        warmth=float(rng.uniform(*WARMTH)),
        defocus=float(rng.uniform(*DEFOCUS)),
        motion=(float(length * np.cos(angle)), float(0.4 * length * np.sin(angle))),
    )


def render_camera(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Photograph a scene.

    Args:
        scene: What to photograph.
        size: Width and height in pixels.
        rng: Source of the shot's settings and of the noise.

    Returns:
        Image uint8 (height, width, 3) RGB and train ids uint8 (height, width), both behind the same lens.
    """
    width, height = size
    shot = draw_shot(rng)
    visible = see(scene, DISTORTION, SUPERSAMPLING * width, SUPERSAMPLING * height)
    colour = _expose(_scene_colours(visible, shot), shot)
    colour = aberrate(colour, FRINGE)
    colour = blur(colour, SUPERSAMPLING * width * shot.defocus, (shot.motion[0] * SUPERSAMPLING * width,
                                                                 shot.motion[1] * SUPERSAMPLING * width))  # fmt: skip
    small = vignette(reduce_by_area(colour, size), VIGNETTE)
    small = sense(small, SHOT_NOISE, READ_NOISE, rng)
    image = np.clip(compress_blocks(small * 255, COMPRESSION) + 0.5, 0, 255).astype(np.uint8)
    return image, halve_labels(visible.train_id, visible.depth)


def _scene_colours(visible: Visible, shot: Shot) -> np.ndarray:
    shadow = soften(visible.shadow.astype(np.float32), SHADOW_BLUR * visible.shadow.shape[1])
    colour = finish_colours(visible, TABLE) * brightness(visible, LIGHT, shadow)[..., None]
    clear = np.exp(-visible.depth / shot.haze_m)[..., None].astype(np.float32)
    colour = clear * colour + (1 - clear) * (np.array(HAZE_COLOUR, np.float32) / 255)
    sky = visible.material == Material.SKY
    colour[sky] = _sky(visible.azimuth[sky], visible.elevation[sky])
    return colour


def _sky(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Overcast colours (N, 3) of ray directions in radians (N,)."""
    high = np.clip(elevation / 0.4, 0, 1)[:, None]
    names, tiles = tile_stack()
    row = (elevation * 300).astype(np.int64) % TILE_SIDE
    column = (azimuth * 150).astype(np.int64) % TILE_SIDE
    cloud = 1 + SKY_CLOUD * tiles[names.index("clouds"), row, column]
    low, top = (np.array(colour, np.float32) / 255 for colour in (HAZE_COLOUR, SKY_TOP))
    return ((1 - high) * low + high * top) * 1.06 * cloud[:, None]


def _expose(colour: np.ndarray, shot: Shot) -> np.ndarray:
    """White balance, exposure and tone curve."""
    balance = np.array([1 + shot.warmth, 1.0, 1 - shot.warmth], np.float32) * np.float32(shot.exposure)
    toned = np.clip(colour * balance, 0, 1) ** np.float32(GAMMA)
    return np.float32(BLACK) + np.float32(1 - BLACK) * toned
