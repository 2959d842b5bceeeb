"""Frames by name: lists of other tools are understood, and a name that means no frame is refused with the nearest."""

import os

import pytest

from pipelines.data.readers.frame_names import read_frame_list
from pipelines.errors import NoInputsError, UserError
from tests.pipelines.data.readers.every_reader import opened, photo

TOWNS = ("bonn/bonn_0", "bonn/bonn_1", "ulm/ulm_0", "ulm/same", "bonn/same")


@pytest.fixture
def towns(tmp_path):
    """Five pictures of two towns, in Cityscapes' layout; two have one file name."""
    photo(tmp_path, *(f"leftImg8bit/train/{name}_leftImg8bit.png" for name in TOWNS))
    return tmp_path


def names(root, **settings):
    return [frame.name for frame in opened(root, reader="cityscapes", labels="", **settings).frames]


def write(root, *lines):
    (root / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    return {"frames": "list.txt"}


def test_a_list_chooses_frames_in_name_order(towns):
    chosen = write(towns, "# mine", "ulm/ulm_0", "", "bonn/bonn_1", "ulm/ulm_0")
    assert names(towns, **chosen) == ["bonn/bonn_1", "ulm/ulm_0"]
    found = opened(towns, reader="cityscapes", labels="", **chosen)
    assert found.left_out == 3


@pytest.mark.parametrize(
    "word",
    [
        *("bonn/bonn_1", "leftImg8bit/train/bonn/bonn_1_leftImg8bit.png", "leftImg8bit/train/bonn/bonn_1_leftImg8bit"),
        *("bonn_1_leftImg8bit.png", "bonn_1_leftImg8bit", r"bonn\\bonn_1", ' "bonn/bonn_1" ', "*_1", "bonn/*[1-3]"),
        "leftImg8bit/*/bonn_1_*.png",
    ],
)
def test_ways_to_name_one_frame(towns, word):
    assert names(towns, **write(towns, word.replace("\\\\", "\\"))) == ["bonn/bonn_1"]


def test_a_list_from_windows_and_one_elsewhere(towns, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists") / "mine.txt"
    elsewhere.write_bytes("ulm\\ulm_0\r\nbonn\\bonn_0\r\n".encode("utf-16"))
    assert names(towns, frames=str(elsewhere)) == ["bonn/bonn_0", "ulm/ulm_0"]


def test_frames_that_are_excluded(towns):
    assert names(towns, exclude=["ulm/*", "bonn/same"]) == ["bonn/bonn_0", "bonn/bonn_1"]
    assert names(towns, exclude=["*/same"], first=1, every=2) == ["bonn/bonn_0"]
    assert names(towns, **write(towns, "ulm/*"), exclude=["ulm/same"]) == ["ulm/ulm_0"]


def test_a_name_that_is_not_there_is_refused_with_the_nearest(towns):
    with pytest.raises(UserError, match=r"list\.txt of data set 'cityscapes': no frame .*'ulm/ulm_9'; .* 'ulm/ulm_0'"):
        names(towns, **write(towns, "bonn/bonn_1", "ulm/ulm_9"))
    with pytest.raises(UserError, match=r"'cityscapes', exclude: no frame is called or matches 'paris/\*'; the likest"):
        names(towns, exclude=["paris/*"])


def test_a_list_of_pairs_is_told_from_a_name_with_a_blank(tmp_path):
    """SegNet's own lists of CamVid have the image and its label map on each line."""
    photo(tmp_path, "train/a.png", "train/b c.png")
    found = opened(tmp_path, reader="folder", **write(tmp_path, "train/b c.png"))
    assert [frame.name for frame in found.frames] == ["train/b c"]
    with pytest.raises(UserError, match=r"one name a line, and 'train/a\.png trainannot/a\.png' is two; keep"):
        opened(tmp_path, reader="folder", **write(tmp_path, "train/a.png trainannot/a.png"))


def test_what_is_excluded_must_be_among_what_is_listed(towns):
    with pytest.raises(UserError, match=r"exclude: no frame .*'ulm/ulm_0'"):
        names(towns, **write(towns, "bonn/*"), exclude=["ulm/ulm_0"])


def test_a_file_name_in_two_folders_is_not_guessed(towns):
    with pytest.raises(UserError, match=r"'same_leftImg8bit.png' is the name of several.*bonn/same, ulm/same$"):
        names(towns, exclude=["same_leftImg8bit.png"])


def test_a_name_of_brackets_is_a_name_first(tmp_path):
    photo(tmp_path, "a[1].png", "a1.png", "a2.png")
    found = opened(tmp_path, reader="folder", exclude=["a[1]"])
    assert [frame.name for frame in found.frames] == ["a1", "a2"]
    found = opened(tmp_path, reader="folder", exclude=["a[12]"])
    assert [frame.name for frame in found.frames] == ["a[1]"]


def test_a_frames_own_name_means_it_alone(tmp_path):
    """a.png and b/a.png: "a" is a frame's name, and the file name of another one."""
    photo(tmp_path, "a.png", "b/a.png")
    found = opened(tmp_path, reader="folder", exclude=["a"])
    assert [frame.name for frame in found.frames] == ["b/a"]


def test_nothing_left(towns):
    with pytest.raises(NoInputsError, match="exclude leaves none of its 5 frames"):
        names(towns, exclude=["*"])


@pytest.mark.parametrize("content", [b"", b"# nothing\n\n", b"\0\0\0\0", b"\xff\xfea"])
def test_files_that_are_no_list(tmp_path, content):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UserError, match=r"frames: .*list\.txt (names no frame|is no list|cannot be read as a list)"):
        read_frame_list(tmp_path / "list.txt")


def test_a_list_that_is_missing_or_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("nowhere", "No such file"), ("pipe", "is a pipe")):
        with pytest.raises(UserError, match=rf"frames: .*{name} cannot be read as a list of frame names \({reason}"):
            read_frame_list(tmp_path / name)


def test_toy_world_counts_its_frames_and_excludes_some(tmp_path):
    drawn = {"reader": "toyworld", "renderer": "game", "frames": 3, "size": (32, 16), "root": "game"}
    from pipelines.data.toyworld.write import draw_toy_world

    draw_toy_world(tmp_path / "game", "game", 3, (32, 16), 0)
    assert [frame.name for frame in opened(tmp_path, **drawn, exclude=["000001"]).frames] == ["000000", "000002"]
