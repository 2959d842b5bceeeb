"""The game's look: a flat blue sky, black shadows, no lens."""

import numpy as np
import pytest

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.game import CLOUD, FINISHES, LIGHT, ZENITH, render_game
from pipelines.data.toyworld.scenery.street import UP
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list, scene_of


def test_the_sky_is_one_blue_with_white_clouds():
    image, train_ids = render_game(scene_of(face_list(), pitch=-0.8), (64, 32))  # all of it above 0.35 radians
    assert image.shape == (32, 64, 3) and image.dtype == np.uint8 and (train_ids == TrainId.SKY).all()
    share = (image - np.array(ZENITH, float)) / (np.array(CLOUD) - np.array(ZENITH, float))
    assert np.abs(share - share.mean(axis=-1, keepdims=True)).max() < 0.05, "neither blue nor white nor between"
    flat = (image == ZENITH).all(axis=-1).mean()
    assert 0.4 < flat < 1 and (share.min(axis=-1) > 0.5).any()


def test_a_painted_wall_has_the_colour_of_its_finish():
    faces = face_list()
    faces.add_upright(4 * NORTH, EAST, 8.0, 6.0, TrainId.CAR, Material.HEADLAMP)
    image, train_ids = render_game(scene_of(faces), (64, 32))
    (colour,) = FINISHES[Material.HEADLAMP].palette
    # The sun is at the zenith: the wall has ambient light alone. The haze of 4 m in 900 m takes 0.4 % of it.
    assert (train_ids == TrainId.CAR).all()
    assert image[16, 32] == pytest.approx(np.array(colour) * LIGHT.ambient, abs=2)


def test_shadows_are_black_by_the_light_of_the_game():
    lit, shaded = face_list(), face_list()
    shaded.add_shadow(-9 * EAST, 18 * EAST, 40 * NORTH)
    bright, dark = (render_game(scene_of(faces), (64, 32))[0][28:].astype(float).mean() for faces in (lit, shaded))
    assert dark / bright == pytest.approx(LIGHT.shadow, abs=0.03)


def test_straight_edges_stay_straight():
    faces = face_list()
    faces.add(4 * EAST + 10 * NORTH - 9 * UP, 9 * EAST, 18 * UP, TrainId.BUILDING, Material.WALL)
    # Above row 64 + 0.95 * 256 * 1.5 / 10 = 100.5 the ground does not hide it.
    train_ids = render_game(scene_of(faces), (256, 128))[1][:100]
    # x = 4 at z = 10: 128 + 0.95 * 256 * 0.4 = 225.28, in every row.
    assert (train_ids[:, 226:] == TrainId.BUILDING).all() and not (train_ids[:, :225] == TrainId.BUILDING).any()
