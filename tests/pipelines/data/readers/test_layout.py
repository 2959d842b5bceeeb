"""How files are found and named: odd names, links, formats that are not read, two files of one name."""

import os

import pytest
from pydantic import ValidationError

from pipelines.data.readers.layout import distinct_names, files_below
from pipelines.errors import ImageError, NoInputsError, UserError
from tests.pipelines.data.readers.every_reader import SETTINGS, opened, photo


def test_two_images_for_one_label(tmp_path):
    photo(tmp_path, "rgb/a.png", "rgb/a.jpg", "semantic/a.png")
    with pytest.raises(
        UserError, match=r"two files for the frame .a., and .*; end the setting `images` with the suffix"
    ):
        opened(tmp_path, reader="carla", version="0.9.14")


@pytest.mark.parametrize(
    ("setting", "pattern", "message"),
    [
        ("images", "rgb/*.png", r"'rgb/\*\.png' must hold {name} once, as in 'images/{name}\.png'"),
        ("images", "{name}/{name}.png", r"'{name}/{name}\.png' must hold {name} once"),
        ("labels", "semantic/0.png", r"'semantic/0\.png' must hold {name} once"),
        ("labels", "{town}/{name}.png", r"holds {town}, which is no setting of this data set"),
        ("images", "", "the pattern of the images must not be empty"),
    ],
)
def test_a_pattern_that_names_no_frame_is_refused(setting, pattern, message):
    with pytest.raises(ValidationError, match=message):
        SETTINGS.validate_python({"reader": "carla", "root": ".", "version": "0.9.14", setting: pattern})


@pytest.mark.parametrize("pattern", ["./rgb/{name}.png", "rgb//{name}.png", "rgb/./{name}.png"])
def test_a_pattern_may_be_written_as_paths_are(tmp_path, pattern):
    photo(tmp_path, "rgb/a.png")
    assert [frame.name for frame in opened(tmp_path, reader="folder", images=pattern).frames] == ["a"]


@pytest.mark.parametrize(
    "settings",
    [
        {"reader": "cityscapes", "split": "val", "images": "camera/{name}.jpg", "labels": "classes/{name}.png"},
        {"reader": "camvid", "split": "val", "encoding": "32"},
        {"reader": "idd_lite", "folder_split": "val", "images": "rgb/{name}.png", "labels": ""},
    ],
    ids=lambda settings: settings["reader"],
)
def test_a_split_that_no_pattern_holds_is_refused(settings):
    """All frames would be taken for each split."""
    with pytest.raises(ValidationError, match=r"split = 'val' chooses nothing: images = '.*' does not hold {\w*split}"):
        SETTINGS.validate_python({"root": "."} | settings)
    setting = "folder_split" if "folder_split" in settings else "split"
    SETTINGS.validate_python({"root": "."} | settings | {"images": f"{{{setting}}}/{{name}}.png"})


def test_a_home_folder_is_meant_by_its_sign(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    photo(tmp_path, "home/set/a.png", "home/set/b.png")
    (tmp_path / "home/list.txt").write_text("b\n")
    found = opened(tmp_path, reader="folder", root="~/set", frames="~/list.txt")
    assert [frame.image for frame in found.frames] == [tmp_path / "home/set/b.png"]
    with pytest.raises(ValidationError, match="~nobody-of-this-name/set: there is no such home folder"):
        opened(tmp_path, reader="folder", root="~nobody-of-this-name/set")


def test_suffixes_of_images_and_labels_are_of_any_case(tmp_path):
    photo(tmp_path, "rgb/a.png", "semantic/a.png", "rgb/b.PNG", "semantic/b.PNG")
    frames = opened(tmp_path, reader="carla", version="0.9.14").frames
    assert [frame.label.name for frame in frames] == ["a.png", "b.PNG"]
    photo(tmp_path, "odd/A.png", "odd/a_L.png", "odd/b_l.png")
    frames = opened(tmp_path, reader="folder", root="odd", images="{name}_L.png").frames
    assert [frame.name for frame in frames] == ["a"]


def test_formats_that_are_not_read_are_named(tmp_path):
    photo(tmp_path, "a.png", "c.jpe", "d.jfif")
    for name in ("b.ppm", "e.GIF", "Thumbs.db", "f.txt"):
        (tmp_path / name).touch()
    frame_set = opened(tmp_path, reader="folder")
    assert [frame.name for frame in frame_set.frames] == ["a", "c", "d"]
    assert [frame.image.name for frame in frame_set.unread] == ["b.ppm", "e.GIF"]
    assert frame_set.notes == (f"in a format that is not read: {tmp_path / 'b.ppm'} and 1 more; convert to PNG",)
    assert not opened(tmp_path, reader="folder", first=2).unread


def test_nothing_but_formats_that_are_not_read(tmp_path):
    (tmp_path / "b.ppm").touch()
    with pytest.raises(NoInputsError, match=r"no image .*; in a format that is not read: .*b\.ppm; convert to PNG"):
        opened(tmp_path, reader="folder")


def test_a_folder_without_images_is_told_without_settings_that_nobody_gave(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(NoInputsError, match=r": no image in this folder or below it; expected PNG, JPEG, .* or TIFF$"):
        opened(tmp_path, reader="folder")
    with pytest.raises(NoInputsError, match=r"no image of data set 'folder' matches 'rgb/\{name\}\.\*' \(setting"):
        opened(tmp_path, reader="folder", images="rgb/{name}.*")


def test_links_to_folders_are_followed_but_not_round_in_circles(tmp_path):
    photo(tmp_path, "real/a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "set")
    assert [frame.name for frame in opened(tmp_path, reader="folder", root="set").frames] == ["link/a"]


def test_a_pipe_is_found_and_refused_when_read(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match="pipe"):
        opened(tmp_path, reader="folder").read_image(0)


def test_a_line_break_in_a_name_leaves_the_message_one_line(tmp_path):
    (tmp_path / "a\nb.png").write_bytes(b"")
    with pytest.raises(ImageError, match="empty") as caught:
        opened(tmp_path, reader="folder").read_image(0)
    assert "\n" not in str(caught.value) and r"a\nb.png" in str(caught.value)


def test_odd_names(tmp_path):
    names = ["a b", "a.b", "a(1)+[x]", "ü", "line\nbreak"]
    photo(tmp_path, *(f"{name}.png" for name in names))
    frame_set = opened(tmp_path, reader="folder")
    assert [frame.name for frame in frame_set.frames] == sorted(names)
    assert frame_set.read_image(0).shape == (4, 6, 3)


def test_a_name_keeps_its_suffix_only_where_it_must():
    assert distinct_names([("a", "a.jpg"), ("b", "b.png")]) == ["a", "b"]
    assert distinct_names([("a", "a.jpg"), ("a", "a.png"), ("b", "b.png")]) == ["a.jpg", "a.png", "b"]
    # The long name of one is the short name of another, which is then told apart as well.
    assert distinct_names([("a", "a.png"), ("a", "a.jpg"), ("a.png", "a.png.png")]) == ["a.png", "a.jpg", "a.png.png"]


def test_files_below_a_folder(tmp_path):
    for name in ("a.png", "b/c.txt", ".hidden", ".folder/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    found = sorted(path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path))
    assert found == ["a.png", "b/c.txt", "itself"] and not list(files_below(tmp_path / "missing"))


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cannot list the folder: Permission denied. Check its permissions"):
        list(files_below(tmp_path))
