"""Texture tiles: periodic, of the size and frequencies asked for, the same for the same seed."""

import numpy as np
import pytest

from pipelines.data.toyworld.rendering.tiles import TILE_SIDE, masonry, noise, stripes, tile_stack


def test_noise_is_normalised_and_a_function_of_its_seed():
    field = noise(3, 1.0)
    assert field.shape == (256, 256) and field.dtype == np.float32
    assert field.mean() == pytest.approx(0, abs=1e-4) and field.std() == pytest.approx(1, abs=1e-4)
    assert np.array_equal(field, noise(3, 1.0)) and not np.array_equal(field, noise(4, 1.0))


def test_noise_has_the_frequencies_asked_for():
    power = np.abs(np.fft.fft2(noise(1, 0.5, coarsest=6, finest=22))) ** 2
    periods = np.fft.fftfreq(TILE_SIDE) * TILE_SIDE
    frequency = np.hypot(periods[:, None], periods[None])
    within = (frequency >= 6) & (frequency <= 22)
    assert power[~within].sum() < 1e-8 * power[within].sum()


def test_rough_noise_changes_from_texel_to_texel():
    steps = [np.abs(np.diff(noise(2, roughness), axis=1)).mean() for roughness in (0.0, 1.0, 2.0)]
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_bricks_worked_out_by_hand():
    wall = masonry(4, rows=4, columns=4, joint=6, joint_value=-1.2, spread=0.25)
    # 64 x 64 texels a brick, 6 of joint at its top and left; every second row is shifted by 32.
    assert (wall[:6] == np.float32(-1.2)).all() and (wall[:, :6][:64] == np.float32(-1.2)).all()
    assert len(np.unique(wall[6:64, 6:64])) == 1 and wall[10, 10] != wall[10, 74]
    assert (wall[70:128, 32:38] == np.float32(-1.2)).all() and wall[80, 0] == wall[80, 255] == wall[80, 31]
    assert len(np.unique(wall)) == 17, "sixteen bricks and the joint"


def test_stripes_worked_out_by_hand():
    fence = stripes(period=32, dark=13, depth=1.6)
    assert (
        fence.shape == (256, 256)
        and (fence[:, 12] == np.float32(-1.6)).all()
        and (fence[:, 13] == np.float32(0.3)).all()
    )
    assert np.array_equal(fence[:, :32], fence[:, 224:])


def test_the_stack_names_its_tiles():
    names, tiles = tile_stack()
    assert tiles.shape == (len(names), 256, 256) and tiles.dtype == np.float32 and len(set(names)) == len(names)
    assert not tiles[names.index("plain")].any()
    assert np.unique(tiles[names.index("cartoon leaves")]).tolist() == pytest.approx([-0.9, 0, 0.9])
    checks = tiles[names.index("checks")]
    assert [checks[0, 0], checks[0, 64], checks[64, 64]] == [-0.5, 0.5, -0.5]
