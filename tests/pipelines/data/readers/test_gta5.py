"""GTA5's layout, and its two frames that are known to be bad."""

from typing import ClassVar

from tests.pipelines.data.readers.every_reader import EveryReader, opened


class TestGta5(EveryReader):
    settings: ClassVar = {"reader": "gta5"}
    image, label, road = "images/{name}.png", "labels/{name}.png", 7

    def test_known_bad_frames_are_skipped_with_a_note(self, tmp_path):
        self.make(tmp_path, "15187", "15188", "17705")
        frame_set = opened(tmp_path, **self.settings)
        assert [frame.name for frame in frame_set.frames] == ["15187"]
        assert "15188, 17705" in frame_set.notes[0]
