"""Stencils: which material lies where on a sign, a light, a car; upright, and transparent where nothing is."""

import numpy as np
import pytest

from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.scenery.stencils import CROWNS, STENCIL_SIDE, WALKERS, stencil_number, stencil_stack
from pipelines.data.toyworld.scenery.vehicles import VEHICLES


def at(name, x, y):
    """Material at fractions of a stencil, y upwards."""
    stencil = stencil_stack()[stencil_number(name)]
    return Material(stencil[round((1 - y) * STENCIL_SIDE), round(x * STENCIL_SIDE)])


def test_the_stack_holds_materials():
    stack = stencil_stack()
    assert stack.shape[1:] == (128, 128) and stack.dtype == np.uint8 and stack.max() < len(Material)
    assert all((stencil != Material.HOLE).mean() > 0.1 for stencil in stack), "a stencil shows next to nothing"


def test_a_traffic_light_is_the_right_way_up():
    assert [at("traffic light", 0.5, y) for y in (0.82, 0.5, 0.18)] == [
        Material.LAMP_RED, Material.LAMP_AMBER, Material.LAMP_GREEN,
    ]  # fmt: skip
    assert at("traffic light", 0.05, 0.95) == Material.LIGHT_HOUSING


def test_signs_have_their_shapes():
    # The disc's radius is 0.49, its face's 0.33; the triangle stands on its base.
    assert at("round sign", 0.5, 0.5) == Material.SIGN_FACE and at("round sign", 0.9, 0.5) == Material.SIGN_RIM
    assert at("round sign", 0.1, 0.1) == Material.HOLE
    assert at("warning sign", 0.05, 0.9) == Material.HOLE and at("warning sign", 0.1, 0.08) == Material.SIGN_RIM
    assert at("gable", 0.1, 0.9) == Material.HOLE and at("gable", 0.5, 0.5) == Material.FLANK


def test_the_side_of_a_car():
    # A saloon is 1.45 m high and its wheels' radius is 0.32 m: their centres are at 0.22 of its height.
    assert [at("saloon side", axle, 0.32 / 1.45) for axle in VEHICLES["saloon"].axles] == [Material.CHROME] * 2
    assert at("saloon side", 0.35, 0.8) == Material.GLASS and at("saloon side", 0.5, 0.4) == Material.CAR_PAINT
    assert at("saloon side", 0.05, 0.95) == Material.HOLE, "above the boot"
    assert at("truck side", 0.4, 0.9) == Material.TARPAULIN


def test_lamps_tell_front_from_rear():
    lamps = {name: set(stencil_stack()[stencil_number(name)].ravel()) for name in ("car front", "car rear")}
    assert Material.HEADLAMP in lamps["car front"] and Material.TAIL_LAMP not in lamps["car front"]
    assert Material.TAIL_LAMP in lamps["car rear"] and Material.HEADLAMP not in lamps["car rear"]


def test_crowns_and_walkers_differ():
    for kind, count in (("crown", CROWNS), ("walker", WALKERS)):
        drawn = {stencil_stack()[stencil_number(f"{kind} {number}")].tobytes() for number in range(count)}
        assert len(drawn) == count


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"No stencil 'unicycle'; there are: hedge, .*tram windscreen"):
        stencil_number("unicycle")
