"""Windows, doors and shops of a facade, as a function of metres along and up the wall."""

import numpy as np

from pipelines.data.toyworld.materials import Material

GROUND_FLOOR_M = 3.4
FLOOR_M = 2.9
FRAME_M = 0.11


def facade_parts(
    along: np.ndarray, up: np.ndarray, length: np.ndarray, height: np.ndarray, variant: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Material and variant of facade points.

    Args:
        along: Metres from the facade's left end, (N,).
        up: Metres above the ground, (N,).
        length: Length of the facade each point lies on, (N,).
        height: Height of that facade, (N,).
        variant: Variant of that facade, (N,); decides the rhythm of its windows.

    Returns:
        uint8 materials (N,) and int64 variants (N,); every window has a variant of its own.
    """
    style = variant // 16
    bays = np.maximum(1, np.round(length / (2.2 + 0.35 * (style % 4)))).astype(np.int64)
    pitch = length / bays
    bay = np.floor(along / pitch).astype(np.int64)
    across = along - (bay + 0.5) * pitch
    above = up - GROUND_FLOOR_M
    floor = np.floor(above / FLOOR_M).astype(np.int64)
    on_ground = above < 0
    rise = np.where(on_ground, up, above - floor * FLOOR_M)

    half = np.where(style % 3 == 0, 0.42, 0.6)
    sill = np.where(on_ground, 1.0, 0.85)
    lintel = sill + 1.55
    material = np.full(along.shape, int(Material.FACADE), np.uint8)
    _rectangle(material, Material.TRIM, across, rise, half + FRAME_M, sill - FRAME_M, lintel + FRAME_M)
    _rectangle(material, Material.WINDOW, across, rise, half, sill, lintel)

    shop = on_ground & (style % 5 < 2)
    material[shop] = np.where(rise[shop] < 0.5, int(Material.TRIM), int(Material.WINDOW))
    material[shop & (np.abs(across) > 0.5 * pitch - 0.15)] = Material.TRIM
    material[shop & (rise > 2.5)] = Material.SHOP
    door = on_ground & (bay % 4 == style % 4) & (np.abs(across) < 0.55) & (rise < 2.3)
    material[door] = Material.DOOR
    material[np.abs(up - height + 0.2) < 0.2] = Material.TRIM

    pane = (bay * 7 + floor * 13 + style * 3) % 4096
    return material, np.where(material == Material.WINDOW, pane, variant)


def _rectangle(
    material: np.ndarray,
    part: Material,
    across: np.ndarray,
    rise: np.ndarray,
    half: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    material[(np.abs(across) < half) & (rise > low) & (rise < high)] = part
