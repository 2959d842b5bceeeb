"""CamVid's two layouts: eleven merged classes in either order, and the colours of its authors."""

from typing import ClassVar

from tests.pipelines.data.readers.every_reader import EveryReader, opened, photo


class TestCamVid11(EveryReader):
    settings: ClassVar = {"reader": "camvid"}
    image, label, road = "train/{name}.jpg", "trainannot/{name}.png", 3

    def test_merged_classes(self, tmp_path):
        self.make(tmp_path, "a")
        (encoding,) = opened(tmp_path, **self.settings).encodings
        assert encoding.merged == (frozenset({6, 7}), frozenset({12, 18}), frozenset({13, 14, 15}))

    def test_order_is_a_setting(self, tmp_path):
        self.make(tmp_path, "a")
        frame_set = opened(tmp_path, **self.settings, order="building_first")
        assert (frame_set.read_label_map(0) == 13).all()  # 3 is Car there


class TestCamVid32(EveryReader):
    settings: ClassVar = {"reader": "camvid", "encoding": "32"}
    image, label = "701_StillsRaw_full/{name}.png", "LabeledApproved_full/{name}_L.png"
    road = (128, 0, 192)

    def test_a_list_parts_the_frames_of_one_folder(self, tmp_path):
        """Lists of others name a frame by its file."""
        self.make(tmp_path, "0001TP_006690", "0016E5_00390")
        (tmp_path / "val.txt").write_text("0016E5_00390.png\n")
        found = opened(tmp_path, **self.settings, frames="val.txt")
        assert [frame.name for frame in found.frames] == ["0016E5_00390"]


def test_a_drive_is_what_stands_before_the_number(tmp_path):
    frames = [f"train/{name}.png" for name in ("0001TP_006690", "0016E5_00390", "Seq05VD_f00000", "b")]
    photo(tmp_path, *frames)
    assert [frame.drive for frame in opened(tmp_path, reader="camvid").frames] == ["0001TP", "0016E5", "Seq05VD", None]


def test_few_frames_of_each_drive(tmp_path):
    photo(tmp_path, *(f"train/0001TP_{i}.png" for i in range(6)), "train/0006R0_7.png")
    found = opened(tmp_path, reader="camvid", frames_per_drive=2)
    assert [frame.name for frame in found.frames] == ["0001TP_1", "0001TP_4", "0006R0_7"] and found.left_out == 4
    thinner = opened(tmp_path, reader="camvid", every=2, frames_per_drive=2, first=2)
    assert [frame.name for frame in thinner.frames] == ["0001TP_0", "0001TP_4"] and thinner.left_out == 5
