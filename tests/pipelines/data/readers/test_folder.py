"""A plain folder: every image in it and below, and no labels."""

import pytest
from pydantic import ValidationError

from tests.pipelines.data.readers.every_reader import opened, photo


def test_every_image_below(tmp_path):
    photo(tmp_path, "a.png", "b/c.JPG", "b/d.jpeg")
    (tmp_path / "notes.txt").write_text("")
    frame_set = opened(tmp_path, reader="folder", name="mine")
    assert [frame.name for frame in frame_set.frames] == ["a", "b/c", "b/d"] and frame_set.name == "mine"


def test_labels_are_refused(tmp_path):
    with pytest.raises(ValidationError, match="own reader"):
        opened(tmp_path, reader="folder", labels="{name}.png")


def test_two_files_of_one_name(tmp_path):
    photo(tmp_path, "a.png", "a.jpg")
    (tmp_path / "b").mkdir()
    photo(tmp_path, "b/0.png", "a.png.png")
    names = {frame.name: frame.image.name for frame in opened(tmp_path, reader="folder").frames}
    assert names == {"a.jpg": "a.jpg", "a.png": "a.png", "a.png.png": "a.png.png", "b/0": "0.png"}
