"""SYNTHIA's layout: the class in the first channel of a 16-bit PNG, and lane markings either way."""

from typing import ClassVar

import numpy as np

from pipelines.data.images import write_image
from tests.pipelines.data.readers.every_reader import EveryReader, opened, photo


class TestSynthia(EveryReader):
    settings: ClassVar = {"reader": "synthia"}
    image, label, road = "RGB/{name}.png", "GT/LABELS/{name}.png", (22, 0, 0)

    def label_pixels(self):
        return super().label_pixels().astype(np.uint16)

    def test_every_frame_is_a_drive_of_its_own(self, tmp_path):
        self.make(tmp_path, "0000001", "0000002")
        assert [frame.drive for frame in opened(tmp_path, **self.settings).frames] == ["0000001", "0000002"]

    def test_lane_markings_are_road_or_ignored(self, tmp_path):
        photo(tmp_path, "RGB/a.png")
        write_image(tmp_path / "GT/LABELS/a.png", np.full((4, 6, 3), (22, 0, 0), np.uint16))
        assert (opened(tmp_path, **self.settings).read_label_map(0) == 0).all()
        assert (opened(tmp_path, **self.settings, lane_marking="ignore").read_label_map(0) == 255).all()
