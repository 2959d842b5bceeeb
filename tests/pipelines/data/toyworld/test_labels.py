"""Classes and their numbers on disk, held against the label tables that every reader uses."""

import json
from importlib.resources import files

import numpy as np
import pytest

from pipelines.data.toyworld.labels import CARLA_TAGS, CITYSCAPES_IDS, TrainId
from segment.classes import CLASS_NAMES


def test_classes_are_those_of_the_project():
    assert [one.name.lower().replace("_", " ") for one in TrainId] == list(CLASS_NAMES)
    assert [int(one) for one in TrainId] == list(range(19))


@pytest.mark.parametrize("numbers, table", [(CARLA_TAGS, "carla_0.9.14_and_later"), (CITYSCAPES_IDS, "cityscapes")])
def test_numbers_on_disk_are_those_of_the_published_tables(numbers, table):
    rows = json.loads(files("pipelines.data").joinpath("label_maps.json").read_text())[table]["ids"]
    assert numbers.dtype == np.uint8 and [rows[str(number)]["train_id"] for number in numbers] == list(range(19))
