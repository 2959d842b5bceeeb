"""Colour by look-up and light by formula, on pixels made by hand."""

import numpy as np
import pytest

from pipelines.data.toyworld.materials import Finish, Material, finish_table
from pipelines.data.toyworld.rendering.shading import Light, brightness, finish_colours
from pipelines.data.toyworld.rendering.tiles import stripes
from pipelines.data.toyworld.rendering.visible import Visible

BLACK, RED, GREEN = (0, 0, 0), (255, 0, 0), (0, 255, 0)
LIGHT = Light(ambient=0.5, direct=0.25, shadow=0.4, leaf_gradient=0.5)


def pixel(**changes):
    """One pixel of a wall, seen from near."""
    values = {
        "train_id": 3, "material": int(Material.WALL), "variant": 0, "u": 0.0, "v": 0.0, "depth": 5.0, "grain_m": 1e-4,
        "lambert": 0.8, "crown": 0.0, "shadow": False, "azimuth": 0.0, "elevation": 0.0,
    }  # fmt: skip
    return Visible(**{name: np.array([[value]]) for name, value in (values | changes).items()})


def table(**finishes):
    plain = {material: Finish(((255, 255, 255),)) for material in Material if material is not Material.HOLE}
    return finish_table(plain | {Material[name]: finish for name, finish in finishes.items()})


def test_a_variant_takes_its_colour_modulo_their_number():
    colours = table(WALL=Finish((BLACK, RED, GREEN)))
    shown = [finish_colours(pixel(variant=variant), colours)[0, 0].tolist() for variant in (0, 1, 2, 4)]
    assert shown == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_trousers_take_another_digit_than_the_shirt():
    colours = table(TROUSERS=Finish((BLACK, RED)), SHIRT=Finish((BLACK, RED)))
    # Variant 3: the shirt takes 3 % 2 = 1, the trousers (3 // 3) % 2 = 1; variant 4: 0 and 1.
    looks = {
        (name, variant): finish_colours(pixel(material=int(Material[name]), variant=variant), colours)[0, 0, 0]
        for name in ("SHIRT", "TROUSERS")
        for variant in (3, 4)
    }
    assert looks == {("SHIRT", 3): 1, ("SHIRT", 4): 0, ("TROUSERS", 3): 1, ("TROUSERS", 4): 1}


def test_texture_is_laid_out_in_metres():
    colours = table(WALL=Finish(((255, 255, 255),), "pickets", metres=2.0, contrast=0.1))
    # The tile is 2 m of 256 texels: u = 0.1 m is texel 12, still dark, u = 0.11 m is texel 14; 2 m on it repeats.
    shown = [finish_colours(pixel(u=u), colours)[0, 0, 0] for u in (0.1, 0.11, 2.1, 2.11)]
    assert stripes(32, 13, 1.6)[0, 12:14] == pytest.approx([-1.6, 0.3])
    assert shown == pytest.approx([1 - 0.16, 1 + 0.03] * 2)


def test_texture_fades_where_a_pixel_is_coarser():
    colours = table(WALL=Finish(((255, 255, 255),), "pickets", metres=2.0, contrast=0.1))
    # Five texels of 2 m / 256 are 0.0390625 m: a pixel of twice that shows half the contrast.
    assert finish_colours(pixel(u=0.1, grain_m=0.078125), colours)[0, 0, 0] == pytest.approx(1 - 0.08)


def test_brightness_worked_out_by_hand():
    lit = 0.5 + 0.25 * 0.8  # = 0.7
    shade = np.array([[0.5]], np.float32)
    assert brightness(pixel(), LIGHT, 0 * shade)[0, 0] == pytest.approx(lit)
    assert brightness(pixel(lambert=0.0), LIGHT, 0 * shade)[0, 0] == pytest.approx(0.5)
    assert brightness(pixel(), LIGHT, shade)[0, 0] == pytest.approx(lit * 0.7)  # half of the way to 0.4
    assert brightness(pixel(), LIGHT, 2 * shade)[0, 0] == pytest.approx(lit * 0.4)


def test_crowns_are_brighter_at_the_top():
    shade = np.zeros((1, 1), np.float32)
    leaf = [brightness(pixel(material=int(Material.LEAF), crown=crown), LIGHT, shade)[0, 0] for crown in (0, 0.5, 1)]
    assert leaf == pytest.approx([0.7 * 0.75, 0.7, 0.7 * 1.25])
    assert brightness(pixel(crown=1.0), LIGHT, shade)[0, 0] == pytest.approx(0.7), "walls are not"
