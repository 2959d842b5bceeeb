"""Label maps without a class are refused, and what they would be by another table is named where it can be told."""

import numpy as np
import pytest

from pipelines.data.images import write_image
from pipelines.data.labels.classless import LOOK, fitting_readers, likelier_readers, refuse_classless, remedy
from pipelines.errors import NoInputsError
from tests.pipelines.data.readers.every_reader import opened


def street(top, middle, bottom, height=6):
    """Stripes of three values, the lowest over the lower half."""
    values = np.full((height, 8), bottom, np.uint8)
    values[:1], values[1 : height // 2] = top, middle
    return values


def save(root, label_map, *names):
    for name in names:
        write_image(root / f"leftImg8bit/train/{name}_leftImg8bit.png", np.zeros((6, 8, 3), np.uint8))
        write_image(root / f"gtFine/train/{name}_gtFine_labelIds.png", label_map)
    return opened(root, reader="cityscapes")


def test_labels_of_another_table_are_known_by_what_they_show(tmp_path):
    """Ids 6, 5 and 0: sky, far and drivable of IDD-lite, all of them ignored as Cityscapes' ids.

    As train ids they are lights, poles and road; CamVid's 0 is sky or building, CARLA's 0 nothing.
    """
    frames = save(tmp_path, street(6, 5, 0), "a", "b")
    assert fitting_readers(frames) == ['reader = "cityscapes" and labels_kind = "labelTrainIds"', 'reader = "idd_lite"']
    with pytest.raises(NoInputsError) as caught:
        refuse_classless([frames])
    assert str(caught.value) == (
        "no label map of cityscapes shows a class: every pixel is ignored, so there is nothing to learn from. As label "
        'maps of a street they could be read with reader = "cityscapes" and labels_kind = "labelTrainIds" or '
        'reader = "idd_lite"'
    )


@pytest.mark.parametrize(
    ("label_map", "why"),
    [
        (street(0, 0, 0), "one value is no street by any table"),
        (street(0, 0, 3), "CamVid's road at the bottom, but two classes are no street"),
        (street(6, 0, 2), "no road at the bottom"),
        (street(255, 255, 255), "nothing at all"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(tmp_path, label_map, why):
    frames = save(tmp_path, label_map, "a")
    assert fitting_readers(frames) == [] and remedy(frames) == LOOK, why


def test_labels_that_are_valid_and_no_street_are_likelier_something_else(tmp_path):
    """Train ids of sky, vegetation and road are as label ids ignored, pavement and ignored."""
    frames = save(tmp_path, street(10, 8, 0), "a", "b")
    assert frames.shows_a_class()
    assert likelier_readers(frames) == ['reader = "cityscapes" and labels_kind = "labelTrainIds"']
    good = save(tmp_path / "good", street(23, 11, 7), "a")
    assert likelier_readers(good) == []
    assert likelier_readers(save(tmp_path / "odd", street(7, 11, 23), "a")) == []  # upside down by every table
    assert likelier_readers(opened(tmp_path, reader="cityscapes", labels="")) == []


def test_rows_that_are_ignored_for_the_own_car_say_nothing_against_the_reader(tmp_path):
    write_image(tmp_path / "rgb/a.png", np.zeros((6, 8, 3), np.uint8))
    write_image(tmp_path / "semantic/a.png", street(11, 3, 1))
    assert likelier_readers(opened(tmp_path, reader="carla", version="0.9.14", own_car=0.4)) == []


def test_unknown_ids_are_likelier_something_else(tmp_path):
    frames = save(tmp_path, street(255, 5, 0), "a")
    assert likelier_readers(frames) == []  # of two classes
    label_map = street(6, 5, 0)
    label_map[2, 0] = 255
    assert likelier_readers(save(tmp_path, label_map, "a")) == [
        'reader = "cityscapes" and labels_kind = "labelTrainIds"',
        'reader = "idd_lite"',
    ]


def test_all_files_must_fit(tmp_path):
    save(tmp_path, street(6, 5, 0), "a", "b")
    frames = save(tmp_path, street(7, 5, 0), "c")  # IDD-lite has no id 7
    assert fitting_readers(frames) == ['reader = "cityscapes" and labels_kind = "labelTrainIds"']


def test_a_set_that_shows_a_class_or_has_no_labels_passes(tmp_path):
    """One pixel of road is a class; the others are ignored."""
    label_map = street(0, 0, 0)
    save(tmp_path, label_map, "a")
    label_map[5, 5] = 7
    shows, has_none = save(tmp_path, label_map, "b"), opened(tmp_path, reader="cityscapes", labels="")
    assert shows.shows_a_class() and not any(map(has_none.has_label_map, range(len(has_none))))
    refuse_classless([shows, has_none])
