"""What surfaces are made of, apart from how a renderer shows it.

The scene names materials and variants only ("facade, variant 3"); each renderer owns a table of finishes. A material
and variant therefore has one look in the game and one in the camera, which makes the translation well-posed.
"""

from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np

from pipelines.data.toyworld.rendering.tiles import tile_stack

Colour = tuple[int, int, int]


class Material(IntEnum):
    """Every kind of surface; HOLE marks the transparent part of a stencil."""

    HOLE = 0
    SKY = auto()
    ROAD = auto()
    LANE_PAINT = auto()
    SIDEWALK = auto()
    KERB = auto()
    GRASS = auto()
    FACADE = auto()
    FLANK = auto()
    TRIM = auto()
    WINDOW = auto()
    DOOR = auto()
    SHOP = auto()
    ROOF = auto()
    WALL = auto()
    FENCE = auto()
    POLE = auto()
    LIGHT_HOUSING = auto()
    LAMP_RED = auto()
    LAMP_AMBER = auto()
    LAMP_GREEN = auto()
    SIGN_FACE = auto()
    SIGN_RIM = auto()
    SIGN_BLUE = auto()
    LEAF = auto()
    TRUNK = auto()
    SKIN = auto()
    HAIR = auto()
    SHIRT = auto()
    TROUSERS = auto()
    SHOE = auto()
    CAR_PAINT = auto()
    BUS_PAINT = auto()
    TRUCK_CAB = auto()
    TARPAULIN = auto()
    TRAM_PAINT = auto()
    GLASS = auto()
    TYRE = auto()
    UNDERBODY = auto()
    CHROME = auto()
    HEADLAMP = auto()
    TAIL_LAMP = auto()
    PLATE = auto()
    CYCLE_FRAME = auto()
    MOTORCYCLE_PAINT = auto()


@dataclass(frozen=True)
class Finish:
    """How a renderer shows one material.

    Attributes:
        palette: sRGB colours 0..255, one per variant (taken modulo their number).
        tile: Name of a texture tile.
        metres: Side of the tile on the surface.
        contrast: Relative brightness change per unit of the tile.
    """

    palette: tuple[Colour, ...]
    tile: str = "plain"
    metres: float = 1.0
    contrast: float = 0.0


@dataclass(frozen=True)
class FinishTable:
    """A renderer's finishes as arrays indexed by material, for look-ups on whole frames."""

    palette: np.ndarray  # float32 (materials, most variants, 3) in [0, 1]
    variants: np.ndarray  # int64 (materials,)
    tile: np.ndarray  # int64 (materials,)
    metres: np.ndarray  # float32 (materials,)
    contrast: np.ndarray  # float32 (materials,)


def finish_table(finishes: dict[Material, Finish]) -> FinishTable:
    """Arrays of a table that names every material except HOLE.

    Raises:
        ValueError: A material has no finish.
    """
    missing = [material.name for material in Material if material is not Material.HOLE and material not in finishes]
    if missing:
        raise ValueError(f"No finish for {', '.join(missing)}; add them to the renderer's table.")
    names, _ = tile_stack()
    most = max(len(finish.palette) for finish in finishes.values())
    table = FinishTable(
        palette=np.zeros((len(Material), most, 3), np.float32),
        variants=np.ones(len(Material), np.int64),
        tile=np.zeros(len(Material), np.int64),
        metres=np.ones(len(Material), np.float32),
        contrast=np.zeros(len(Material), np.float32),
    )
    for material, finish in finishes.items():
        table.palette[material, : len(finish.palette)] = np.array(finish.palette, np.float32) / 255
        table.variants[material] = len(finish.palette)
        table.tile[material] = names.index(finish.tile)
        table.metres[material] = finish.metres
        table.contrast[material] = finish.contrast
    return table
