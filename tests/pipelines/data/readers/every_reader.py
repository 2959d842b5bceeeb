"""What every reader that follows patterns must do, and sets of flat pictures to show it by."""

from typing import ClassVar

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from pipelines.data.frames import AnyFrameSetSettings, open_frame_set
from pipelines.data.images import write_image
from pipelines.errors import ImageError, NoInputsError, UserError

SETTINGS = TypeAdapter(AnyFrameSetSettings)


def opened(data, **settings):
    return open_frame_set(SETTINGS.validate_python({"root": "."} | settings), data)


def draw(root, *paths, value=0, shape=(4, 6)):
    """Write flat pictures of one value."""
    for path in paths:
        write_image(root / path, np.full(shape, value, np.uint8))


def photo(root, *paths):
    draw(root, *paths, value=9, shape=(4, 6, 3))


class EveryReader:
    """What every pattern reader must do; subclasses name the reader and one image and label path of a frame."""

    settings: ClassVar[dict]
    image: str
    label: str
    road: int | tuple = 0

    def test_a_setting_of_another_kind_is_refused_alone(self):
        """...by pydantic, whose errors are worded for whoever wrote the file."""
        model = type(SETTINGS.validate_python({"root": "."} | self.settings))
        for key in model.model_fields:
            for value in ([[1]], {"a": 1}):
                with pytest.raises(ValidationError) as caught:
                    SETTINGS.validate_python({"root": "."} | self.settings | {key: value})
                assert all(key in error["loc"] or key == "reader" for error in caught.value.errors())

    def label_pixels(self):
        return np.full((4, 6, 3) if isinstance(self.road, tuple) else (4, 6), self.road, np.uint8)

    def make(self, root, *names):
        for name in names:
            photo(root, self.image.format(name=name))
            write_image(root / self.label.format(name=name), self.label_pixels())

    def test_finds_pairs_in_name_order(self, tmp_path):
        self.make(tmp_path, "b", "a", "c")
        frame_set = opened(tmp_path, **self.settings)
        assert [frame.name for frame in frame_set.frames] == ["a", "b", "c"]
        assert frame_set.name == self.settings["reader"] and frame_set.labelled and len(frame_set) == 3
        assert frame_set.read_image(1).shape == (4, 6, 3)
        assert (frame_set.read_label_map(1) == 0).all()
        assert frame_set.encoding is frame_set.frames[0].encoding

    def test_names_may_span_folders_and_hidden_files_are_skipped(self, tmp_path):
        self.make(tmp_path, "town/b", "a", ".hidden", ".folder/c")
        assert [frame.name for frame in opened(tmp_path, **self.settings).frames] == ["a", "town/b"]

    def test_pairs_by_name_not_by_place(self, tmp_path):
        self.make(tmp_path, "a", "b", "c")
        (tmp_path / self.image.format(name="a")).unlink()
        (tmp_path / self.label.format(name="b")).unlink()
        frame_set = opened(tmp_path, **self.settings)
        assert [(frame.name, frame.label is not None) for frame in frame_set.frames] == [("b", False), ("c", True)]
        assert not frame_set.labelled
        assert [frame.name for frame in frame_set.only_labelled().frames] == ["c"]
        assert frame_set.unpaired_labels == [tmp_path / self.label.format(name="a")]
        assert frame_set.frames[1].label == tmp_path / self.label.format(name="c")
        with pytest.raises(UserError, match=r"'b'.*no label map"):
            frame_set.read_label_map(0)

    def test_every_and_first(self, tmp_path):
        self.make(tmp_path, *"abcdefg")
        names = [frame.name for frame in opened(tmp_path, **self.settings, every=3, first=2).frames]
        assert names == ["a", "d"]

    def test_label_of_another_size(self, tmp_path):
        self.make(tmp_path, "a")
        photo(tmp_path, self.image.format(name="a"))
        write_image(tmp_path / self.image.format(name="a"), np.zeros((8, 6, 3), np.uint8))
        with pytest.raises(ImageError, match=r"6x4.*6x8"):
            opened(tmp_path, **self.settings).read_label_map(0)

    def test_without_labels(self, tmp_path):
        photo(tmp_path, self.image.format(name="a"))
        frame_set = opened(tmp_path, **self.settings)
        assert not frame_set.labelled and frame_set.encoding is None and not frame_set.encodings
        assert any("no label matches" in note for note in frame_set.notes)
        assert opened(tmp_path, **self.settings | {"labels": ""}).notes == ()

    def test_missing_folder_and_no_images(self, tmp_path):
        with pytest.raises(UserError, match=r"nowhere.*`root`"):
            opened(tmp_path, **self.settings | {"root": "nowhere"})
        with pytest.raises(NoInputsError, match=r"name}.*`images`"):
            opened(tmp_path, **self.settings)

    def test_unknown_keys_and_bad_values_are_refused(self, tmp_path):
        bad = (
            {"imagse": ""},
            {"images": "x.png"},
            {"images": "/{name}.png"},
            {"labels": "../{name}.png"},
            {"first": 0},
        )
        for wrong in (*bad, {"every": 0}, {"images": ""}, {"images": "{split_}/{name}.png"}):
            with pytest.raises(ValidationError):
                opened(tmp_path, **self.settings | wrong)
