"""Releases of CARLA by their bottom rows: the wrong one is doubted, with those that would fit."""

import numpy as np
import pytest

from pipelines.data.labels.carla_release import StoredValues, remark_on_release
from pipelines.data.labels.encodings import carla


def remark(encoding, *rows):
    """What is said of one label file, a value to each row from the top."""
    values = StoredValues()
    values.add(np.repeat(np.array(rows, np.uint8)[:, None], 8, axis=1))
    return remark_on_release(encoding, values)


@pytest.mark.parametrize(
    ("version", "rows", "doubt"),
    [
        (
            "0.9.14",
            (0, 1, 7),
            "under version 0.9.14 the bottom row is mostly traffic light, expected road; it would be road with version "
            "0.8.x or 0.9.0 to 0.9.9 or 0.9.10 to 0.9.13. Check the setting `version`",
        ),
        (
            "0.9.14",
            (7, 13, 10),  # 13 is known since 0.9.10 only
            "under version 0.9.14 the bottom row is mostly terrain, expected road; it would be car (the own bonnet) "
            "with version 0.9.10 to 0.9.13. Check the setting `version`",
        ),
        (
            "0.9.12",
            (0, 200, 201),
            "under version 0.9.12 the bottom row is mostly of no class, expected road. Check the setting `version`",
        ),
    ],
)
def test_another_release_is_doubted(version, rows, doubt):
    found = remark(carla(version), *rows)
    assert found.is_doubt and found.text == doubt


def test_the_right_one_fits():
    assert remark(carla("0.9.14"), 11, 3, 1).text == "CARLA version 0.9.14 fits: the bottom row is mostly road"
    bonnet = remark(carla("0.9.14"), 11, 1, 14)
    assert not bonnet.is_doubt and "bonnet of the own car (`own_car` would ignore it)" in bonnet.text
    assert remark(carla("0.9.14"), 11, 29, 1) is None  # a tag of 0.10: whether 0.9.14 fits is open


def test_the_bottom_rows_of_all_files_count():
    values = StoredValues()
    for rows in ([[1], [11]], [[11], [1]], [[11], [1]]):
        values.add(np.array(rows, np.uint8))
    assert values.everywhere == {1, 11} and values.bottom == {11: 1, 1: 2}
    assert not remark_on_release(carla("0.9.14"), values).is_doubt
    colours = StoredValues()
    colours.add(np.array([[[1, 2, 3]], [[0, 1, 0]]], np.uint8))
    assert colours.everywhere == {0x010203, 0x000100} and colours.bottom == {0x000100: 1}
