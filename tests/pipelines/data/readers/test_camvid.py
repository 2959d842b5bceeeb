"""CamVid's two layouts: eleven merged classes in either order, and the colours of its authors."""

from typing import ClassVar

from tests.pipelines.data.readers.every_reader import EveryReader, opened


class TestCamVid11(EveryReader):
    settings: ClassVar = {"reader": "camvid"}
    image, label, road = "train/{name}.jpg", "trainannot/{name}.png", 3

    def test_merged_classes(self, tmp_path):
        self.make(tmp_path, "a")
        (encoding,) = opened(tmp_path, **self.settings).encodings
        assert encoding.merged == (frozenset({6, 7}), frozenset({12, 18}))

    def test_order_is_a_setting(self, tmp_path):
        self.make(tmp_path, "a")
        frame_set = opened(tmp_path, **self.settings, order="building_first")
        assert (frame_set.read_label_map(0) == 13).all()  # 3 is Car there


class TestCamVid32(EveryReader):
    settings: ClassVar = {"reader": "camvid", "encoding": "32"}
    image, label = "701_StillsRaw_full/{name}.png", "LabeledApproved_full/{name}_L.png"
    road = (128, 0, 192)
