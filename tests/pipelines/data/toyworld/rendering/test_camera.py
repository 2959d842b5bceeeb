"""The camera's look: the game's materials one for one, behind a lens that bends image and labels alike."""

import numpy as np

from pipelines.data.toyworld.labels import TrainId
from pipelines.data.toyworld.materials import Material
from pipelines.data.toyworld.rendering.camera import (
    DEFOCUS,
    EXPOSURE,
    HAZE_M,
    MOTION,
    SKY_TOP,
    WARMTH,
    draw_shot,
    render_camera,
)
from pipelines.data.toyworld.rendering.camera import FINISHES as CAMERA_FINISHES
from pipelines.data.toyworld.rendering.game import FINISHES as GAME_FINISHES
from pipelines.data.toyworld.scenery.street import UP
from tests.pipelines.data.toyworld.posed import EAST, NORTH, face_list, scene_of


def test_both_renderers_finish_every_material_in_the_same_variants():
    """A one-to-one look per material and variant keeps the translation well-posed."""
    assert GAME_FINISHES.keys() == CAMERA_FINISHES.keys()
    for material, finish in GAME_FINISHES.items():
        assert len(finish.palette) == len(CAMERA_FINISHES[material].palette), material.name


def test_shots_are_drawn_from_their_ranges():
    rng = np.random.default_rng(0)
    shots = [draw_shot(rng) for _ in range(200)]
    for name, (low, high) in {"haze_m": HAZE_M, "exposure": EXPOSURE, "warmth": WARMTH, "defocus": DEFOCUS}.items():
        values = [getattr(shot, name) for shot in shots]
        assert low <= min(values) and max(values) <= high and max(values) - min(values) > 0.9 * (high - low)
    assert max(np.hypot(*shot.motion) for shot in shots) <= MOTION
    assert max(abs(shot.motion[1]) for shot in shots) <= 0.4 * MOTION, "a car shakes less than it turns"


def test_the_lens_bends_the_labels_by_its_distortion():
    # Barrel distortion of 0.09: what is seen at 0.4 focal lengths lies at 0.4 * (1 + 0.09 * 0.16) = 0.40576 of them.
    faces = face_list()
    faces.add(4.0576 * EAST + 10 * NORTH - 9 * UP, 9 * EAST, 18 * UP, TrainId.BUILDING, Material.WALL)
    _, train_ids = render_camera(scene_of(faces), (256, 128), np.random.default_rng(0))
    # At eye level the edge is seen at 128 + 0.95 * 256 * 0.4 = 225.28; without the lens at 226.68.
    horizon = train_ids[64] == TrainId.BUILDING
    assert horizon[226:].all() and not horizon[:225].any()
    # Away from it the same edge is farther out, hence more drawn in.
    edges = [int(np.argmax(train_ids[row] == TrainId.BUILDING)) for row in (0, 64)]
    assert edges[0] < edges[1]


def test_noise_is_the_rngs_and_leaves_the_labels_alone():
    scene = scene_of(face_list())
    one, same, other = (render_camera(scene, (64, 32), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one[0], same[0]) and not np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


def test_the_sky_is_overcast():
    image, train_ids = render_camera(scene_of(face_list(), pitch=-0.8), (64, 32), np.random.default_rng(0))
    assert image.shape == (32, 64, 3) and (train_ids == TrainId.SKY).all()
    red, _, blue = image.reshape(-1, 3).mean(axis=0)
    # Nearly grey, where the game's zenith has 46 of red for 235 of blue.
    assert red > 150 and abs(blue - red) < 2 * (SKY_TOP[2] - SKY_TOP[0])
