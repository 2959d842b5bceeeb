"""The shapes of the toy world's vehicles.

A vehicle is a side outline pulled across its width: one parallelogram per piece of outline and two stencilled sides.
That is little to draw and still shows bonnet, windscreen, roof and boot from any angle.
"""

from dataclasses import dataclass

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material

Point = tuple[float, float]


@dataclass(frozen=True)
class VehicleModel:
    """One kind of vehicle; outline and windows as fractions of length (0 = rear) and height (0 = ground).

    Attributes:
        train_id: Class of every part.
        length, width, height: Metres.
        paint: Material of the body.
        outline: Corners from the rear bottom over the roof to the front bottom.
        pieces: What covers each piece of the outline: a stencil's name or a material.
        windows: Side windows.
        cargo: Part of the side that is a tarpaulin, if any.
        axles: Wheel centres along the length.
        wheel_m: Wheel radius in metres.
    """

    train_id: TrainId
    length: float
    width: float
    height: float
    paint: Material
    outline: tuple[Point, ...]
    pieces: tuple[str | Material, ...]
    windows: tuple[tuple[Point, ...], ...]
    cargo: tuple[Point, ...] = ()
    axles: tuple[float, ...] = (0.19, 0.81)
    wheel_m: float = 0.32


def _row_of_windows(first: float, last: float, count: int, low: float, high: float) -> tuple[tuple[Point, ...], ...]:
    pitch = (last - first) / count
    starts = [first + pitch * number for number in range(count)]
    return tuple(((x, low), (x, high), (x + 0.9 * pitch, high), (x + 0.9 * pitch, low)) for x in starts)


VEHICLES = {
    "saloon": VehicleModel(
        TrainId.CAR, 4.6, 1.8, 1.45, Material.CAR_PAINT,
        outline=((0, 0), (0, 0.66), (0.14, 0.7), (0.28, 1), (0.58, 1), (0.75, 0.68), (0.99, 0.56), (1, 0)),
        pieces=("car rear", Material.CAR_PAINT, "windscreen", Material.CAR_PAINT, "windscreen", Material.CAR_PAINT,
                "car front"),
        windows=(((0.2, 0.69), (0.29, 0.93), (0.43, 0.93), (0.43, 0.68)), ((0.45, 0.68), (0.45, 0.93), (0.57, 0.93),
                 (0.7, 0.68))),
    ),
    "hatchback": VehicleModel(
        TrainId.CAR, 3.9, 1.72, 1.52, Material.CAR_PAINT,
        outline=((0, 0), (0, 0.62), (0.1, 0.97), (0.2, 1), (0.6, 1), (0.78, 0.66), (0.98, 0.56), (1, 0)),
        pieces=("car rear", "windscreen", Material.CAR_PAINT, Material.CAR_PAINT, "windscreen", Material.CAR_PAINT,
                "car front"),
        windows=(((0.09, 0.66), (0.14, 0.93), (0.38, 0.93), (0.38, 0.64)), ((0.41, 0.64), (0.41, 0.93), (0.59, 0.93),
                 (0.73, 0.64))),
    ),
    "van": VehicleModel(
        TrainId.CAR, 4.7, 1.9, 1.95, Material.CAR_PAINT,
        outline=((0, 0), (0, 0.52), (0.03, 0.97), (0.06, 1), (0.72, 1), (0.86, 0.58), (0.99, 0.48), (1, 0)),
        pieces=("car rear", "windscreen", Material.CAR_PAINT, Material.CAR_PAINT, "windscreen", Material.CAR_PAINT,
                "car front"),
        windows=(((0.06, 0.56), (0.06, 0.9), (0.3, 0.9), (0.3, 0.56)), ((0.33, 0.56), (0.33, 0.9), (0.54, 0.9),
                 (0.54, 0.56)), ((0.57, 0.56), (0.57, 0.9), (0.71, 0.9), (0.81, 0.56))),
    ),
    "bus": VehicleModel(
        TrainId.BUS, 10.5, 2.5, 3.1, Material.BUS_PAINT,
        outline=((0, 0), (0, 0.97), (0.01, 1), (0.99, 1), (1, 0.97), (1, 0)),
        pieces=("bus rear", Material.BUS_PAINT, Material.BUS_PAINT, Material.BUS_PAINT, "bus front"),
        windows=_row_of_windows(0.03, 0.98, 7, 0.5, 0.84), axles=(0.2, 0.78), wheel_m=0.48,
    ),
    "truck": VehicleModel(
        TrainId.TRUCK, 8.0, 2.4, 3.3, Material.TRUCK_CAB,
        outline=((0, 0), (0, 1), (0.73, 1), (0.78, 0.86), (0.95, 0.86), (1, 0.5), (1, 0)),
        pieces=("truck rear", Material.TARPAULIN, Material.TARPAULIN, Material.TRUCK_CAB, "windscreen", "truck front"),
        windows=(((0.83, 0.52), (0.83, 0.78), (0.93, 0.78), (0.97, 0.52)),),
        cargo=((0, 0.3), (0, 1), (0.75, 1), (0.75, 0.3)), axles=(0.16, 0.3, 0.86), wheel_m=0.5,
    ),
    "tram": VehicleModel(
        TrainId.TRAIN, 18.0, 2.5, 3.4, Material.TRAM_PAINT,
        outline=((0, 0), (0, 0.5), (0.02, 1), (0.98, 1), (1, 0.5), (1, 0)),
        pieces=("tram end", "windscreen", Material.UNDERBODY, "windscreen", "tram end"),
        windows=_row_of_windows(0.05, 0.96, 9, 0.42, 0.8), axles=(0.15, 0.2, 0.8, 0.85), wheel_m=0.3,
    ),
}  # fmt: skip
