"""The look at the bottom row: labels that are valid under a wrong setting are doubted, with the setting that fits."""

import re

import numpy as np
import pytest

from pipelines.data.labels.bottom_row import StoredValues, remark_on_bottom_row
from pipelines.data.labels.encodings import camvid, carla, cityscapes, gta5, idd_lite


def remark(encoding, *rows):
    """What is said of one label file, a value to each row from the top."""
    values = StoredValues()
    values.add(np.repeat(np.array(rows, np.uint8)[:, None], 8, axis=1))
    return remark_on_bottom_row(encoding, values)


@pytest.mark.parametrize(
    ("encoding", "rows", "doubt"),
    [
        # 3 is road in SegNet's order and a car in the other, 5 a tree and road.
        (camvid(order="building_first"), (0, 1, 3), "order building_first .* mostly car, .* with order segnet"),
        (camvid(), (2, 1, 5), "order segnet .* mostly vegetation, .* with order building_first"),
        # 0 is road among train ids and "unlabelled" among label ids, 7 a sign and road.
        (cityscapes(), (10, 2, 0), "labels_kind labelIds .* of no class, .* with labels_kind labelTrainIds"),
        (cityscapes("labelTrainIds"), (11, 8, 7), "labelTrainIds .* mostly traffic sign, .* with labels_kind labelIds"),
        (carla("0.9.14"), (0, 1, 7), "version 0.9.14 .* traffic light, .* with version 0.8.x or 0.9.0 to 0.9.9 or"),
        (carla("0.9.12"), (0, 200, 201), "version 0.9.12 .* of no class, expected road. Check the setting `version`"),
    ],
)
def test_road_under_another_setting_is_a_doubt(encoding, rows, doubt):
    found = remark(encoding, *rows)
    assert found.is_doubt and re.search(doubt, found.text) and ". Check the setting `" in found.text


@pytest.mark.parametrize(
    ("encoding", "rows"),
    [
        (camvid(), (0, 1, 3)),
        (camvid(order="building_first"), (2, 0, 5)),
        (camvid(), (0, 1, 8)),  # a car at the bottom, and a pole by the other order
        (camvid("32"), (0, 0, 0)),
        (cityscapes(), (23, 11, 1)),  # the own car; 23 is no train id
        (cityscapes("labelTrainIds"), (10, 255, 0)),
        (gta5(), (23, 11, 4)),
        (carla("0.9.14"), (11, 29, 1)),  # a tag that it does not know: whether the release fits is open
        (idd_lite(), (6, 5, 3)),
    ],
)
def test_nothing_is_said_where_no_other_setting_makes_road_of_it(encoding, rows):
    assert remark(encoding, *rows) is None


def test_carla_says_that_its_version_fits():
    assert remark(carla("0.9.14"), 11, 3, 1).text == "CARLA version 0.9.14 fits: the bottom row is mostly road"
    bonnet = remark(carla("0.9.14"), 11, 1, 14)
    assert not bonnet.is_doubt and "bonnet of the own car (`own_car` would ignore it)" in bonnet.text


def test_the_bottom_rows_of_all_files_count():
    values = StoredValues()
    for rows in ([[3], [5]], [[0], [3]], [[0], [3]]):
        values.add(np.array(rows, np.uint8))
    assert values.everywhere == {0, 3, 5} and values.bottom == {5: 1, 3: 2}
    assert remark_on_bottom_row(camvid(), values) is None
    colours = StoredValues()
    colours.add(np.array([[[1, 2, 3]], [[0, 1, 0]]], np.uint8))
    assert colours.everywhere == {0x010203, 0x000100} and colours.bottom == {0x000100: 1}
