"""Materials and their table: every one has a finish, and the table says what the finish said."""

import numpy as np
import pytest

from pipelines.data.toyworld.materials import Finish, Material, finish_table
from pipelines.data.toyworld.rendering.game import FINISHES as GAME_FINISHES
from pipelines.data.toyworld.rendering.tiles import tile_stack


def test_a_material_without_finish_is_named():
    finishes = {material: finish for material, finish in GAME_FINISHES.items() if material is not Material.ROAD}
    with pytest.raises(ValueError, match="ROAD"):
        finish_table(finishes)


def test_the_table_is_the_finishes_by_material():
    plain = {material: Finish(((255, 0, 51),)) for material in Material if material is not Material.HOLE}
    table = finish_table(plain | {Material.ROAD: Finish(((0, 0, 0), (51, 102, 255)), "asphalt", 5.0, 0.11)})
    assert table.palette.shape == (len(Material), 2, 3) and table.palette.dtype == np.float32
    assert table.palette[Material.ROAD, 1] == pytest.approx([0.2, 0.4, 1.0])
    assert table.palette[Material.LEAF, 0] == pytest.approx([1.0, 0.0, 0.2])
    assert table.variants[[Material.ROAD, Material.LEAF]].tolist() == [2, 1]
    assert (
        tile_stack()[0][table.tile[Material.ROAD]] == "asphalt"
        and tile_stack()[0][table.tile[Material.LEAF]] == "plain"
    )
    assert table.metres[Material.ROAD] == 5 and table.contrast[Material.ROAD] == pytest.approx(0.11)


def test_the_transparent_part_of_a_stencil_is_zero():
    assert Material.HOLE == 0 and [int(material) for material in Material] == list(range(len(Material)))
