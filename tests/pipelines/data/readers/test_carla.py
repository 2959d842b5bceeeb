"""CARLA's layouts: raw tags, colours, one folder for all; the release must be given."""

from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from tests.pipelines.data.readers.every_reader import SETTINGS, EveryReader, opened


class TestCarlaRaw(EveryReader):
    settings: ClassVar = {"reader": "carla", "version": "0.9.14"}
    image, label, road = "rgb/{name}.png", "semantic/{name}.png", (1, 0, 0)

    def test_the_version_is_required_and_known(self):
        with pytest.raises(ValidationError, match="version"):
            SETTINGS.validate_python({"reader": "carla", "root": "."})
        with pytest.raises(ValidationError, match=r"0\.9\.10 to 0\.9\.13"):
            SETTINGS.validate_python({"reader": "carla", "root": ".", "version": "0.9"})


class TestCarlaPalette(EveryReader):
    settings: ClassVar = {
        "reader": "carla",
        "version": "0.9.12",
        "encoding": "palette",
        "images": "RGB/{name}_rgbl.png",
        "labels": "semantic_segmentation/{name}_cityscapes.png",
    }
    image, label, road = "RGB/{name}_rgbl.png", "semantic_segmentation/{name}_cityscapes.png", (157, 234, 50)


class TestCarlaInOneFolder(EveryReader):
    settings: ClassVar = {
        "reader": "carla",
        "version": "0.9.14",
        "images": "{name}_img.jpg",
        "labels": "{name}_labelIds.png",
    }
    image, label, road = "{name}_img.jpg", "{name}_labelIds.png", 24


def test_the_car_with_the_camera_is_ignored(tmp_path):
    TestCarlaRaw().make(tmp_path, "a")
    label_map = opened(tmp_path, **TestCarlaRaw.settings, own_car=0.5).read_label_map(0)
    assert np.array_equal(label_map, np.repeat([[0], [255]], 2, axis=0).repeat(6, axis=1)), "of 4 rows the lower two"
    with pytest.raises(ValidationError, match="own_car"):
        opened(tmp_path, **TestCarlaRaw.settings, own_car=1.0)
