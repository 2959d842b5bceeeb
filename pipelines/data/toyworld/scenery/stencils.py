"""Silhouettes: what is drawn on a flat parallelogram, and where it is transparent.

A stencil holds material ids; id 0 is a hole. People, crowns, cycles, signs and vehicle sides are stencils, so their
outlines are theirs and the label follows the outline.
"""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.tiles import TILE_SIDE, noise
from pipelines.data.toyworld.scenery.vehicles import VEHICLES, Point, VehicleModel

STENCIL_SIDE = 128
CROWNS = 6
WALKERS = 4


def _blank() -> np.ndarray:
    return np.zeros((STENCIL_SIDE, STENCIL_SIDE), np.uint8)


def _pixels(points: tuple[Point, ...] | list[Point]) -> np.ndarray:
    """Corners given as fractions with y upwards, as cv2 wants them."""
    return np.array([[round(x * STENCIL_SIDE), round((1 - y) * STENCIL_SIDE)] for x, y in points], np.int32)


def _fill(canvas: np.ndarray, material: Material, *points: Point) -> None:
    cv2.fillPoly(canvas, [_pixels(list(points))], int(material))


def _box(canvas: np.ndarray, material: Material, x0: float, y0: float, x1: float, y1: float) -> None:
    _fill(canvas, material, (x0, y0), (x0, y1), (x1, y1), (x1, y0))


def _oval(canvas: np.ndarray, material: Material, x: float, y: float, rx: float, ry: float, ring: float = 0) -> None:
    """Filled ellipse, or a ring of thickness `ring`; all in fractions."""
    centre = tuple(int(value) for value in _pixels([(x, y)])[0])
    axes = (max(1, round(rx * STENCIL_SIDE)), max(1, round(ry * STENCIL_SIDE)))
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, int(material), max(1, round(ring * STENCIL_SIDE)) if ring else -1)


def _stroke(canvas: np.ndarray, material: Material, thickness: float, *points: Point) -> None:
    cv2.polylines(canvas, [_pixels(list(points))], False, int(material), max(1, round(thickness * STENCIL_SIDE)))


# --- nature -----------------------------------------------------------------------------------------------------------


def _crown(number: int) -> np.ndarray:
    """An irregular crown: a disc whose rim is bitten by noise."""
    y, x = np.mgrid[0:STENCIL_SIDE, 0:STENCIL_SIDE] / (STENCIL_SIDE / 2) - 1
    step = TILE_SIDE // STENCIL_SIDE
    coarse = noise(100 + number, 1.2, finest=10)[::step, ::step]
    fine = noise(200 + number, 0.4, coarsest=10, finest=50)[::step, ::step]
    return np.where(x * x + y * y < 0.72 + 0.13 * coarse + 0.07 * fine, int(Material.LEAF), 0).astype(np.uint8)


def _hedge_top() -> np.ndarray:
    canvas = _blank()
    rim = noise(300, 0.9, finest=40)[0, :: TILE_SIDE // STENCIL_SIDE]
    height = np.clip(0.86 + 0.06 * rim, 0.6, 1.0) * STENCIL_SIDE
    rows = np.arange(STENCIL_SIDE)[:, None]
    canvas[rows >= STENCIL_SIDE - height[None]] = Material.LEAF
    return canvas


# --- people -----------------------------------------------------------------------------------------------------------


def _walker(pose: int) -> np.ndarray:
    """A person 1.0 high and 0.5 wide in a square canvas drawn twice as wide."""
    canvas = _blank()
    stride = (0.06, 0.2, 0.3, 0.14)[pose]
    for side in (-1, 1):
        foot = 0.5 + side * stride
        _stroke(
            canvas, Material.TROUSERS, 0.12, (0.5 + side * 0.05, 0.5), (0.5 + side * stride * 0.7, 0.28), (foot, 0.07)
        )
        _box(canvas, Material.SHOE, foot - 0.07, 0.0, foot + 0.11, 0.05)
        hand = (0.5 + side * (0.22 + stride * 0.3), 0.46)
        _stroke(canvas, Material.SHIRT, 0.09, (0.5 + side * 0.15, 0.78), (0.5 + side * 0.24, 0.6), hand)
        _oval(canvas, Material.SKIN, hand[0], hand[1], 0.05, 0.03)
    _fill(canvas, Material.SHIRT, (0.3, 0.82), (0.34, 0.45), (0.66, 0.45), (0.7, 0.82), (0.58, 0.86), (0.42, 0.86))
    _head(canvas, 0.5, 0.92)
    return canvas


def _head(canvas: np.ndarray, x: float, y: float, cover: Material = Material.HAIR) -> None:
    _oval(canvas, Material.SKIN, x, y, 0.11, 0.07)
    cap = _blank()
    _oval(cap, cover, x, y + 0.015, 0.12, 0.07)
    lowest = round((1 - y - 0.01) * STENCIL_SIDE)
    canvas[:lowest] = np.where(cap[:lowest] > 0, cap[:lowest], canvas[:lowest])


def _rider_side() -> np.ndarray:
    canvas = _blank()
    for knee, foot in (((0.62, 0.4), (0.5, 0.08)), ((0.55, 0.28), (0.42, 0.02))):
        _stroke(canvas, Material.TROUSERS, 0.13, (0.3, 0.5), knee, foot)
    _fill(canvas, Material.SHIRT, (0.2, 0.46), (0.4, 0.46), (0.66, 0.78), (0.5, 0.86))
    _stroke(canvas, Material.SHIRT, 0.09, (0.56, 0.76), (0.74, 0.58), (0.84, 0.56))
    _oval(canvas, Material.SKIN, 0.86, 0.56, 0.05, 0.04)
    _head(canvas, 0.66, 0.91)
    return canvas


def _rider_rear() -> np.ndarray:
    canvas = _blank()
    for side in (-1, 1):
        _stroke(
            canvas,
            Material.TROUSERS,
            0.14,
            (0.5 + side * 0.08, 0.45),
            (0.5 + side * 0.17, 0.22),
            (0.5 + side * 0.14, 0),
        )
        _stroke(
            canvas, Material.SHIRT, 0.1, (0.5 + side * 0.17, 0.78), (0.5 + side * 0.3, 0.58), (0.5 + side * 0.28, 0.5)
        )
    _fill(canvas, Material.SHIRT, (0.3, 0.8), (0.34, 0.42), (0.66, 0.42), (0.7, 0.8), (0.58, 0.86), (0.42, 0.86))
    _head(canvas, 0.5, 0.92)
    return canvas


# --- cycles -----------------------------------------------------------------------------------------------------------


def _bicycle_side() -> np.ndarray:
    canvas = _blank()
    for x in (0.2, 0.8):
        _oval(canvas, Material.TYRE, x, 0.32, 0.18, 0.3, ring=0.05)
    frame = ((0.2, 0.32), (0.36, 0.72), (0.7, 0.72), (0.48, 0.32), (0.2, 0.32))
    _stroke(canvas, Material.CYCLE_FRAME, 0.05, *frame)
    _stroke(canvas, Material.CYCLE_FRAME, 0.05, (0.48, 0.32), (0.34, 0.84))
    _stroke(canvas, Material.CYCLE_FRAME, 0.05, (0.8, 0.32), (0.68, 0.9), (0.78, 0.95))
    _box(canvas, Material.TYRE, 0.27, 0.84, 0.41, 0.9)
    return canvas


def _bicycle_rear() -> np.ndarray:
    canvas = _blank()
    _box(canvas, Material.TYRE, 0.41, 0.0, 0.59, 0.6)
    _box(canvas, Material.CYCLE_FRAME, 0.36, 0.45, 0.64, 0.8)
    _box(canvas, Material.CYCLE_FRAME, 0.06, 0.86, 0.94, 0.96)
    return canvas


def _motorcycle_side() -> np.ndarray:
    canvas = _blank()
    for x in (0.2, 0.8):
        _oval(canvas, Material.TYRE, x, 0.3, 0.18, 0.3)
        _oval(canvas, Material.CHROME, x, 0.3, 0.07, 0.12)
    _box(canvas, Material.UNDERBODY, 0.36, 0.2, 0.62, 0.5)
    body = ((0.08, 0.72), (0.36, 0.66), (0.5, 0.9), (0.66, 0.92), (0.74, 0.6), (0.6, 0.46), (0.34, 0.46))
    _fill(canvas, Material.MOTORCYCLE_PAINT, *body)
    _stroke(canvas, Material.CHROME, 0.05, (0.8, 0.3), (0.66, 0.98))
    return canvas


def _motorcycle_rear() -> np.ndarray:
    canvas = _blank()
    _box(canvas, Material.TYRE, 0.38, 0.0, 0.62, 0.5)
    _box(canvas, Material.MOTORCYCLE_PAINT, 0.26, 0.4, 0.74, 0.82)
    _box(canvas, Material.TAIL_LAMP, 0.4, 0.6, 0.6, 0.7)
    _box(canvas, Material.CHROME, 0.04, 0.84, 0.96, 0.92)
    return canvas


# --- street furniture -------------------------------------------------------------------------------------------------


def _traffic_light() -> np.ndarray:
    canvas = np.full((STENCIL_SIDE, STENCIL_SIDE), int(Material.LIGHT_HOUSING), np.uint8)
    for lamp, y in ((Material.LAMP_RED, 0.82), (Material.LAMP_AMBER, 0.5), (Material.LAMP_GREEN, 0.18)):
        _oval(canvas, lamp, 0.5, y, 0.32, 0.13)
    return canvas


def _round_sign() -> np.ndarray:
    canvas = _blank()
    _oval(canvas, Material.SIGN_RIM, 0.5, 0.5, 0.49, 0.49)
    _oval(canvas, Material.SIGN_FACE, 0.5, 0.5, 0.33, 0.33)
    return canvas


def _warning_sign() -> np.ndarray:
    canvas = _blank()
    _fill(canvas, Material.SIGN_RIM, (0, 0.04), (1, 0.04), (0.5, 1))
    _fill(canvas, Material.SIGN_FACE, (0.2, 0.17), (0.8, 0.17), (0.5, 0.74))
    return canvas


def _blue_sign() -> np.ndarray:
    canvas = np.full((STENCIL_SIDE, STENCIL_SIDE), int(Material.SIGN_BLUE), np.uint8)
    _fill(
        canvas,
        Material.SIGN_FACE,
        (0.5, 0.85),
        (0.8, 0.5),
        (0.6, 0.5),
        (0.6, 0.15),
        (0.4, 0.15),
        (0.4, 0.5),
        (0.2, 0.5),
    )
    return canvas


# --- vehicles ---------------------------------------------------------------------------------------------------------


def _vehicle_side(model: VehicleModel) -> np.ndarray:
    canvas = _blank()
    sill = 0.75 * model.wheel_m / model.height
    raised = [(x, max(y, sill)) for x, y in model.outline]
    _fill(canvas, model.paint, *raised)
    _stroke(canvas, model.paint, 0.016, *raised)  # overlaps the outline's pieces: no seam shows the street behind
    if model.cargo:
        _fill(canvas, Material.TARPAULIN, *model.cargo)
        _box(canvas, Material.UNDERBODY, 0.0, sill, 0.75, model.cargo[0][1])
    for window in model.windows:
        _fill(canvas, Material.GLASS, *window)
    _box(canvas, Material.UNDERBODY, 0.02, sill, 0.98, sill + 0.05)
    across, up = model.wheel_m / model.length, model.wheel_m / model.height
    for axle in model.axles:
        _oval(canvas, Material.TYRE, axle, up, across * 1.05, up)
        _oval(canvas, Material.CHROME, axle, up, across * 0.5, up * 0.5)
    return canvas


def _vehicle_end(paint: Material, rear: bool, belt: float, window: tuple[float, float] | None) -> np.ndarray:
    """Rear or front: tyres, bumper from 0.18 up, lamps below `belt`, a window if the end is upright."""
    canvas = _blank()
    for x in (0.04, 0.78):
        _box(canvas, Material.TYRE, x, 0.0, x + 0.18, 0.3)
    _box(canvas, paint, 0.0, 0.22, 1.0, 1.0)
    _box(canvas, Material.UNDERBODY, 0.0, 0.2, 1.0, 0.2 + 0.3 * belt)
    _box(canvas, Material.PLATE, 0.36, 0.22 + 0.3 * belt, 0.64, 0.22 + 0.5 * belt)
    lamp = Material.TAIL_LAMP if rear else Material.HEADLAMP
    for x in (0.03, 0.77):
        _box(canvas, lamp, x, 0.2 + 0.4 * belt, x + 0.2, 0.2 + 0.68 * belt)
    if not rear:
        _box(canvas, Material.UNDERBODY, 0.3, 0.2 + 0.5 * belt, 0.7, 0.2 + 0.66 * belt)
    if window:
        _box(canvas, Material.GLASS, 0.07, window[0], 0.93, window[1])
    return canvas


def _windscreen(paint: Material) -> np.ndarray:
    canvas = np.full((STENCIL_SIDE, STENCIL_SIDE), int(paint), np.uint8)
    _fill(canvas, Material.GLASS, (0.05, 0.04), (0.13, 0.94), (0.87, 0.94), (0.95, 0.04))
    return canvas


def _truck_rear() -> np.ndarray:
    canvas = _vehicle_end(Material.TARPAULIN, True, 0.3, None)
    _box(canvas, Material.UNDERBODY, 0.49, 0.32, 0.51, 0.97)
    return canvas


# --- all of them ------------------------------------------------------------------------------------------------------


def _gable() -> np.ndarray:
    canvas = _blank()
    _fill(canvas, Material.FLANK, (0, 0), (0.5, 1), (1, 0))
    return canvas


def _drawings() -> dict[str, Callable[[], np.ndarray]]:
    drawings: dict[str, Callable[[], np.ndarray]] = {
        "hedge": _hedge_top,
        "rider side": _rider_side,
        "rider rear": _rider_rear,
        "bicycle side": _bicycle_side,
        "bicycle rear": _bicycle_rear,
        "motorcycle side": _motorcycle_side,
        "motorcycle rear": _motorcycle_rear,
        "traffic light": _traffic_light,
        "round sign": _round_sign,
        "warning sign": _warning_sign,
        "blue sign": _blue_sign,
        "gable": _gable,
        "car rear": lambda: _vehicle_end(Material.CAR_PAINT, True, 0.9, None),
        "car front": lambda: _vehicle_end(Material.CAR_PAINT, False, 0.9, None),
        "bus rear": lambda: _vehicle_end(Material.BUS_PAINT, True, 0.35, (0.55, 0.88)),
        "bus front": lambda: _vehicle_end(Material.BUS_PAINT, False, 0.35, (0.42, 0.9)),
        "truck rear": _truck_rear,
        "truck front": lambda: _vehicle_end(Material.TRUCK_CAB, False, 0.7, None),
        "tram end": lambda: _vehicle_end(Material.TRAM_PAINT, False, 0.7, None),
    }
    drawings |= {f"crown {number}": lambda number=number: _crown(number) for number in range(CROWNS)}
    drawings |= {f"walker {pose}": lambda pose=pose: _walker(pose) for pose in range(WALKERS)}
    for name, model in VEHICLES.items():
        drawings[f"{name} side"] = lambda model=model: _vehicle_side(model)
        drawings[f"{name} windscreen"] = lambda model=model: _windscreen(model.paint)
    return drawings


@lru_cache(maxsize=1)
def stencil_stack() -> np.ndarray:
    """uint8 (stencils, 128, 128) of material ids, 0 = hole; row 0 is the top."""
    return np.stack([draw() for draw in _drawings().values()])


@lru_cache(maxsize=1)
def _numbers() -> dict[str, int]:
    return {name: number for number, name in enumerate(_drawings())}


def stencil_number(name: str) -> int:
    """Index into `stencil_stack()`.

    Raises:
        ValueError: No stencil has this name.
    """
    if name not in _numbers():
        raise ValueError(f"No stencil {name!r}; there are: {', '.join(_numbers())}.")
    return _numbers()[name]
