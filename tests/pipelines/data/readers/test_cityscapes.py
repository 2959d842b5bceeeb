"""Cityscapes' layout: splits, both kinds of labels, and a test split that says that it has none."""

from typing import ClassVar

import pytest
from pydantic import ValidationError

from pipelines.errors import NoInputsError
from tests.pipelines.data.readers.every_reader import EveryReader, draw, opened, photo


class TestCityscapes(EveryReader):
    settings: ClassVar = {"reader": "cityscapes"}
    image, label = "leftImg8bit/train/{name}_leftImg8bit.png", "gtFine/train/{name}_gtFine_labelIds.png"
    road = 7

    def test_split_and_kind(self, tmp_path):
        photo(tmp_path, "leftImg8bit/val/x/x_0_leftImg8bit.png")
        draw(tmp_path, "gtFine/val/x/x_0_gtFine_labelTrainIds.png", "gtFine/val/x/x_0_gtFine_labelIds.png", value=255)
        frame_set = opened(tmp_path, **self.settings, split="val", labels_kind="labelTrainIds")
        assert frame_set.frames[0].name == "x/x_0" and (frame_set.read_label_map(0) == 255).all()

    def test_train_extra_has_coarse_labels_and_a_black_frame(self, tmp_path):
        for name in ("bonn/bonn_000000_000019", "troisdorf/troisdorf_000000_000073"):
            photo(tmp_path, f"leftImg8bit/train_extra/{name}_leftImg8bit.png")
            draw(tmp_path, f"gtCoarse/train_extra/{name}_gtCoarse_labelIds.png", value=7)
        found = opened(tmp_path, **self.settings, split="train_extra")
        assert [frame.name for frame in found.frames] == ["bonn/bonn_000000_000019"] and found.labelled
        assert (found.read_label_map(0) == 0).all()
        assert found.notes == ("skipped troisdorf_000000_000073: its image is known to be black throughout",)
        assert not opened(tmp_path, **self.settings, split="train_extra", labels="").labelled

    def test_the_black_frame_alone_is_no_set(self, tmp_path):
        photo(tmp_path, "leftImg8bit/train_extra/x/troisdorf_000000_000073_leftImg8bit.png")
        with pytest.raises(NoInputsError, match=r"no frame of data set 'cityscapes' can be used: .*troisdorf"):
            opened(tmp_path, **self.settings, split="train_extra")

    def test_coarse_labels_of_another_split(self, tmp_path):
        photo(tmp_path, "leftImg8bit/train/x_leftImg8bit.png")
        draw(tmp_path, "gtCoarse/train/x_gtCoarse_labelIds.png", value=7)
        labels = "gtCoarse/{split}/{name}_gtCoarse_{labels_kind}.png"
        assert opened(tmp_path, **self.settings, labels=labels).labelled

    def test_the_test_split_says_that_its_labels_are_empty(self, tmp_path):
        photo(tmp_path, "leftImg8bit/test/x/x_0_leftImg8bit.png")
        assert not any("test split" in note for note in opened(tmp_path, **self.settings, split="test").notes)
        draw(tmp_path, "gtFine/test/x/x_0_gtFine_labelIds.png")
        (note,) = opened(tmp_path, **self.settings, split="test").notes
        assert note.startswith("the label maps of the test split are published without classes")
        assert "--submission" in note

    def test_the_test_split_still_names_images_that_are_not_read(self, tmp_path):
        draw(tmp_path, "gtFine/test/x_gtFine_labelIds.png")
        photo(tmp_path, "leftImg8bit/test/x_leftImg8bit.png")
        (tmp_path / "leftImg8bit/test/y_leftImg8bit.gif").touch()
        images = "leftImg8bit/{split}/{name}_leftImg8bit.*"
        frames = opened(tmp_path, **self.settings, split="test", images=images)
        assert [frame.name for frame in frames.unread] == ["y"] and len(frames.notes) == 2

    def test_a_drive_is_a_city_and_a_sequence(self, tmp_path):
        photo(
            tmp_path, "leftImg8bit/train/ulm/ulm_000003_000019_leftImg8bit.png", "leftImg8bit/train/x_leftImg8bit.png"
        )
        assert [frame.drive for frame in opened(tmp_path, **self.settings).frames] == ["ulm_000003", None]

    def test_another_kind_of_labels_is_refused(self, tmp_path):
        with pytest.raises(ValidationError, match="labelIds"):
            opened(tmp_path, **self.settings, labels_kind="instanceIds")
