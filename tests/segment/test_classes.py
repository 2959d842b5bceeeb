"""The class space agrees with cityscapesScripts, whose ids the whole field uses."""

import pytest

from segment.classes import CLASS_NAMES, IGNORE_INDEX, PALETTE, TRAIN_IDS_13, TRAIN_IDS_16, name_of_class


def test_names_and_colours_are_those_of_cityscapes():
    labels = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    official = {label.trainId: (label.name, label.color) for label in labels if 0 <= label.trainId < IGNORE_INDEX}
    assert {train_id: (CLASS_NAMES[train_id], PALETTE[train_id]) for train_id in range(19)} == official


def test_the_palette_tells_all_classes_and_ignored_pixels_apart():
    assert len(set(PALETTE) | {(0, 0, 0)}) == 20


def test_the_16_classes_are_all_but_terrain_truck_and_train():
    assert {CLASS_NAMES[train_id] for train_id in set(range(19)) - set(TRAIN_IDS_16)} == {"terrain", "truck", "train"}
    assert len(TRAIN_IDS_16) == 16


def test_the_13_classes_are_the_16_without_wall_fence_and_pole():
    assert {CLASS_NAMES[train_id] for train_id in set(TRAIN_IDS_16) - set(TRAIN_IDS_13)} == {"wall", "fence", "pole"}
    assert len(TRAIN_IDS_13) == 13


def test_a_class_is_called_by_its_name_where_the_space_is_ours():
    assert name_of_class(13, 19) == "car" and name_of_class(13, 16) == "13"
