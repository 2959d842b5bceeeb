"""IDD-lite: frames of drives, parted by a table of the drives or by the publishers' folders."""

from typing import ClassVar

import numpy as np
import pytest

from pipelines.data.images import write_image
from pipelines.data.readers import idd_lite
from pipelines.errors import NoInputsError, UserError
from tests.pipelines.data.readers.every_reader import EveryReader, opened, photo


class TestIddLite(EveryReader):
    settings: ClassVar = {"reader": "idd_lite"}
    image, label = "leftImg8bit/train/{name}_image.jpg", "gtFine/train/{name}_label.png"

    def parted(self, root, table="drive,split\n10,train\n2,val\n3,test\n4,train\n"):
        """Frames of the drives 10, 2, 3 and 5; the table parts them."""
        self.make(root, "10/000001", "10/000002", "2/000007", "3/000005", "5/000009")
        (root / "splits.csv").write_text(table)

    @pytest.mark.parametrize(
        ("split", "names"),
        [("train", ["10/000001", "10/000002"]), ("val", ["2/000007"]), ("test", ["3/000005"])],
    )
    def test_a_split_is_its_drives(self, tmp_path, split, names):
        self.parted(tmp_path)
        frames = opened(tmp_path, **self.settings, split=split)
        assert [frame.name for frame in frames.frames] == names and frames.labelled
        assert frames.unpaired_labels == []  # the labels of other drives are not missed

    def test_drives_of_the_split_that_are_not_there_are_told(self, tmp_path):
        self.parted(tmp_path)
        assert opened(tmp_path, **self.settings, split="train").notes == ("1 of the 2 drives of 'train' are there",)
        assert opened(tmp_path, **self.settings, split="val").notes == ()

    def test_the_table_is_read_once(self, tmp_path, monkeypatch):
        """Images, labels and what is said of them go by one table, whoever changes the file meanwhile."""
        self.parted(tmp_path)
        reads, read = [], idd_lite.open_regular
        monkeypatch.setattr(idd_lite, "open_regular", lambda path: reads.append(path) or read(path))
        opened(tmp_path, **self.settings, split="train")
        assert reads == [tmp_path / "splits.csv"]

    def test_a_drive_is_a_folder(self, tmp_path):
        self.parted(tmp_path)
        frames = opened(tmp_path, **self.settings, split="train", frames_per_drive=1)
        assert [(frame.name, frame.drive) for frame in frames.frames] == [("10/000002", "10")]

    def test_without_a_split_all_drives_of_the_folder(self, tmp_path):
        self.make(tmp_path, "1/000001")
        photo(tmp_path, "leftImg8bit/val/8/000001_image.jpg")
        assert [frame.name for frame in opened(tmp_path, **self.settings).frames] == ["1/000001"]
        val = opened(tmp_path, **self.settings, folder_split="val")
        assert [frame.name for frame in val.frames] == ["8/000001"]

    def test_maps_of_instances_are_no_label_maps(self, tmp_path):
        self.make(tmp_path, "1/000001")
        write_image(tmp_path / "gtFine/train/1/000001_inst_label.png", np.zeros((4, 6), np.uint8))
        assert opened(tmp_path, **self.settings).unpaired_labels == []

    def test_lines_of_any_system(self, tmp_path):
        self.parted(tmp_path, "drive,split\r\n10,val\r\n\r\n")
        assert len(opened(tmp_path, **self.settings, split="val")) == 2

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("drive,split\n1,train\n", r"no drive is of split 'val'; there are: train"),
            ("", r"no table of drives; expected the columns drive,split"),
            ("city,split\n1,val\n", r"no table of drives"),
            ("drive,split\n1,val,2\n", r"no table of drives"),
            ("drive,split\n1,val\n1,train\n", r"drive '1' is listed twice"),
        ],
    )
    def test_a_table_that_parts_nothing_is_refused(self, tmp_path, table, message):
        self.parted(tmp_path, table)
        with pytest.raises(UserError, match=rf"splits\.csv: .*{message}"):
            opened(tmp_path, **self.settings, split="val")

    def test_a_missing_table_is_named(self, tmp_path):
        self.make(tmp_path, "1/000001")
        with pytest.raises(UserError, match=r"parts\.csv: cannot be read as the table of drives.*set `splits`"):
            opened(tmp_path, **self.settings, split="val", splits="parts.csv")

    def test_a_split_whose_drives_are_elsewhere_has_no_image(self, tmp_path):
        self.parted(tmp_path, "drive,split\n77,val\n")
        with pytest.raises(NoInputsError, match="no image of data set 'idd_lite'"):
            opened(tmp_path, **self.settings, split="val")
