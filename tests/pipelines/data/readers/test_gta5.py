"""GTA5's layout, its two frames that are known to be bad, and its authors' splits."""

from typing import ClassVar

import numpy as np
import pytest
from scipy.io import savemat

from pipelines.errors import NoInputsError, UserError
from tests.pipelines.data.readers.every_reader import EveryReader, opened


class TestGta5(EveryReader):
    settings: ClassVar = {"reader": "gta5"}
    image, label, road = "images/{name}.png", "labels/{name}.png", 7

    def test_known_bad_frames_are_skipped_with_a_note(self, tmp_path):
        self.make(tmp_path, "15187", "15188", "17705")
        frame_set = opened(tmp_path, **self.settings)
        assert [frame.name for frame in frame_set.frames] == ["15187"]
        assert "15188, 17705" in frame_set.notes[0]

    def test_a_set_of_bad_frames_alone_is_refused(self, tmp_path):
        self.make(tmp_path, "15188")
        for settings in ({}, {"exclude": ["00001"]}):
            with pytest.raises(NoInputsError, match="no frame of data set 'gta5' can be used: skipped 15188"):
                opened(tmp_path, **self.settings, **settings)

    def splits(self, root, **numbers):
        """A file of splits as the authors wrote it: columns of frame numbers, from 1."""
        columns = {f"{name}Ids": np.array(of_split, np.uint16)[:, None] for name, of_split in numbers.items()}
        savemat(root / "split.mat", columns)

    def test_the_authors_splits(self, tmp_path):
        self.make(tmp_path, "00001", "00002", "00003", "15188", "extra")
        self.splits(tmp_path, train=[1, 3, 15188], val=[2], test=[4])
        names = {
            split: [frame.name for frame in opened(tmp_path, **self.settings, split=split).frames]
            for split in ("train", "val")
        }
        assert names == {"train": ["00001", "00003"], "val": ["00002"]}
        assert opened(tmp_path, **self.settings, split="val").notes == ()
        self.splits(tmp_path, train=[1, 3, 5, 6], val=[2])
        assert opened(tmp_path, **self.settings, split="train").notes == ("2 of the 4 frames of 'train' are there",)
        assert len(opened(tmp_path, **self.settings)) == 4  # all but the bad one
        self.splits(tmp_path, test=[4])
        with pytest.raises(NoInputsError, match=r"split.mat: none of the 5 frames that are there is of 'test'"):
            opened(tmp_path, **self.settings, split="test")

    def test_files_that_are_no_splits(self, tmp_path):
        self.make(tmp_path, "00001")
        with pytest.raises(UserError, match=r"split.mat: cannot be read as .* \(No such file.*no `split`"):
            opened(tmp_path, **self.settings, split="val")
        for content in (b"", b"no MATLAB file, whatever it is called" * 10):
            (tmp_path / "split.mat").write_bytes(content)
            with pytest.raises(UserError, match=r"split.mat: cannot be read as the authors' file of splits"):
                opened(tmp_path, **self.settings, split="val")
        self.splits(tmp_path, train=[1])
        with pytest.raises(UserError, match=r"split.mat: holds no numbers 'valIds'"):
            opened(tmp_path, **self.settings, split="val")
