"""Grey-value texture tiles that both renderers lay over their surfaces.

A tile is periodic, 256 texels a side and centred on zero: it modulates a colour, so the renderers differ in which tile
they put where, how large and how strongly, not in code.
"""

from functools import lru_cache

import numpy as np

TILE_SIDE = 256


def noise(seed: int, roughness: float, coarsest: float = 1.0, finest: float = 128.0) -> np.ndarray:
    """Periodic noise with a power-law spectrum.

    Args:
        seed: Same seed, same noise.
        roughness: Amplitude falls as frequency ** -roughness; 0 is white noise.
        coarsest: Lowest frequency kept, in periods per tile.
        finest: Highest frequency kept, in periods per tile.

    Returns:
        float32 (256, 256), zero mean, unit standard deviation.
    """
    spectrum = np.fft.rfft2(np.random.default_rng(seed).standard_normal((TILE_SIDE, TILE_SIDE)))
    vertical = np.fft.fftfreq(TILE_SIDE)[:, None] * TILE_SIDE
    horizontal = np.fft.rfftfreq(TILE_SIDE)[None] * TILE_SIDE
    frequency = np.hypot(vertical, horizontal)
    kept = (frequency >= coarsest) & (frequency <= finest)
    spectrum *= np.where(kept, np.maximum(frequency, 1.0) ** -roughness, 0.0)
    field = np.fft.irfft2(spectrum, s=(TILE_SIDE, TILE_SIDE))
    return (field / field.std()).astype(np.float32)


def masonry(seed: int, rows: int, columns: int, joint: int, joint_value: float, spread: float) -> np.ndarray:
    """Staggered bricks: each brick has its own brightness, joints have `joint_value`. float32 (256, 256)."""
    y, x = np.mgrid[0:TILE_SIDE, 0:TILE_SIDE]
    height, width = TILE_SIDE // rows, TILE_SIDE // columns
    row = y // height
    shifted = (x + (row % 2) * (width // 2)) % TILE_SIDE
    brightness = np.random.default_rng(seed).standard_normal((rows, columns)) * spread
    tile = brightness[row, shifted // width]
    tile[(y % height < joint) | (shifted % width < joint)] = joint_value
    return tile.astype(np.float32)


def stripes(period: int, dark: int, depth: float) -> np.ndarray:
    """Vertical stripes: `dark` texels of value -depth in every `period`. float32 (256, 256)."""
    x = np.arange(TILE_SIDE) % period
    return np.broadcast_to(np.where(x < dark, -depth, 0.3), (TILE_SIDE, TILE_SIDE)).astype(np.float32)


def _worn_asphalt() -> np.ndarray:
    cracks = np.abs(noise(21, 1.6, finest=24))
    return 0.7 * noise(22, 0.5) + 0.6 * noise(23, 1.8, finest=12) - 1.5 * (cracks < 0.035)


def _cartoon_leaves() -> np.ndarray:
    # Three flat tones, as a hand-painted game texture has.
    field = noise(31, 0.6, coarsest=6, finest=22)
    return np.select([field > 0.7, field < -0.6], [0.9, -0.9], 0.0).astype(np.float32)


@lru_cache(maxsize=1)
def tile_stack() -> tuple[tuple[str, ...], np.ndarray]:
    """All tiles: their names and float32 (tiles, 256, 256) in the same order."""
    tiles = {
        "plain": np.zeros((TILE_SIDE, TILE_SIDE), np.float32),
        "grain": noise(1, 0.7),
        "patches": 0.6 * noise(2, 1.6) + 0.5 * noise(3, 0.3),
        "asphalt": _worn_asphalt(),
        "slabs": masonry(4, 4, 4, 6, -1.2, 0.25),
        "pavers": masonry(5, 16, 8, 2, -1.3, 0.6) + 0.5 * noise(6, 0.6),
        "bricks": masonry(7, 32, 16, 2, 0.9, 0.7) + 0.3 * noise(8, 1.2),
        "shingles": masonry(9, 16, 16, 3, -1.0, 0.3),
        "slates": masonry(10, 16, 16, 2, -0.9, 0.7) + 0.5 * noise(11, 1.0),
        "pickets": stripes(32, 13, 1.6),
        "leaves": 0.7 * noise(12, 0.9, coarsest=3) + 0.6 * noise(13, 0.2, coarsest=12),
        "cartoon leaves": _cartoon_leaves(),
        "tufts": np.clip(noise(14, 0.3, coarsest=16, finest=60), -1, 1),
        "clouds": noise(15, 1.9, finest=24),
        "checks": np.where(np.indices((TILE_SIDE, TILE_SIDE)).sum(0) // 64 % 2, 0.5, -0.5).astype(np.float32),
    }
    return tuple(tiles), np.stack([tile.astype(np.float32) for tile in tiles.values()])
