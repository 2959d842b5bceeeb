"""Things numbered by label and instance, from files as Cityscapes writes them."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.data.labels.encodings import cityscapes
from pipelines.data.labels.instances import instance_file, number_things, read_instance_map
from pipelines.errors import ImageError

LABELS = np.array([[0, 13, 13, 255]], np.uint8)


def written(path, ids):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), ids)
    return path


def test_finds_the_file_beside_either_kind_of_labels(tmp_path):
    instances = written(tmp_path / "a_gtFine_instanceIds.png", np.zeros((1, 4), np.uint16))
    assert instance_file(tmp_path / "a_gtFine_labelIds.png") == instances
    assert instance_file(tmp_path / "a_gtFine_labelTrainIds.png") == instances
    assert instance_file(tmp_path / "b_gtFine_labelIds.png") is None
    assert instance_file(tmp_path / "a.png") is None


def test_finds_the_file_in_the_folder_beside_the_labels(tmp_path):
    """As the authors of pix2pixHD sort them: test_label and test_inst."""
    label = tmp_path / "test_label/a_gtFine_labelIds.png"
    assert instance_file(label) is None
    instances = written(tmp_path / "test_inst/a_gtFine_instanceIds.png", np.zeros((1, 4), np.uint16))
    assert instance_file(label) == instances
    assert instance_file(tmp_path / "test/a_gtFine_labelIds.png") is None


def test_without_instances_things_are_labels():
    things = number_things(LABELS, None)
    assert things.dtype == np.int32 and things.tolist() == LABELS.tolist()


def test_instances_by_train_id(tmp_path):
    """Car 26 is train id 13; 7 is road without instances; 29 is a caravan, which does not count; 26 a group of cars."""
    path = written(tmp_path / "i.png", np.array([[7, 26000, 26001, 29003, 26]], np.uint16))
    instances = read_instance_map(path, (1, 5))
    assert instances.dtype == np.int32 and instances.tolist() == [[-1, 13000, 13001, -1, -1]]
    with pytest.raises(ImageError, match=r"i\.png: the instance map has shape \(1, 5\), its label map \(2, 5\)"):
        read_instance_map(path, (2, 5))


def test_label_in_the_lowest_byte_instance_above(tmp_path):
    things = number_things(LABELS, written(tmp_path / "i.png", np.array([[7, 26000, 26001, 0]], np.uint16)))
    assert (things & 255).tolist() == LABELS.tolist()
    assert (things >> 8).tolist() == [[8, 26001, 26002, 1]]


def test_the_largest_id_survives_a_float32(tmp_path):
    things = number_things(LABELS, written(tmp_path / "i.png", np.full((1, 4), 2**16 - 2, np.uint16)))
    assert np.array_equal(things.astype(np.float32).astype(np.int32), things)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.zeros((2, 4), np.uint16), r"i\.png.*shape \(2, 4\), its label map \(1, 4\)"),
        (np.full((1, 4), 2**16 - 1, np.uint16), r"i\.png.*holds instance id 65535"),
    ],
)
def test_a_bad_file_is_named(tmp_path, ids, message):
    with pytest.raises(ImageError, match=message):
        number_things(LABELS, written(tmp_path / "i.png", ids))


def test_a_file_that_is_no_image_is_named(tmp_path):
    (tmp_path / "i.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"i\.png"):
        number_things(LABELS, tmp_path / "i.png")


def test_real_instance_maps():
    data = Path(os.environ.get("SIM2REAL_DATA") or Path(__file__).parents[5] / "shared" / "data")
    labels = sorted((data / "cityscapes/small_256x128").rglob("*_labelIds.png"))
    if not labels:
        pytest.skip("no Cityscapes frames: set SIM2REAL_DATA to a folder that holds them")
    label_map = cityscapes().decode(labels[0])
    things = number_things(label_map, instance_file(labels[0]))
    assert np.array_equal(things & 255, label_map)
    assert len(np.unique(things)) > len(np.unique(label_map))
