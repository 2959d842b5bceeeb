"""List files: what they may hold, and that every mistake is named with its line."""

import codecs
from pathlib import PurePosixPath

import pytest

from pipelines.data.selection.listing import read_listing
from pipelines.errors import NoInputsError, UserError


def listing(folder, data):
    path = folder / "frames.txt"
    path.write_bytes(data)
    return path


def test_paths_in_the_files_order(tmp_path):
    data = "\ufeff# morning\nb/2.png\r\n\n  \na/1.JPG\na b/ä.png\n./c.png".encode()
    expected = ["b/2.png", "a/1.JPG", "a b/ä.png", "c.png"]
    assert read_listing(listing(tmp_path, data)) == [PurePosixPath(path) for path in expected]


@pytest.mark.parametrize(
    "data",
    [
        b"img\\1.png\r\nimg\\2 3.png\r\n",
        b"img/1.png \n\timg/2 3.png\t\n",
        b"img/1.png\rimg/2 3.png\r",
        b'"img\\1.png"\r\n"img\\2 3.png"',
        b"'.\\img\\1.png'\n'img/2 3.png'\n",
        codecs.BOM_UTF8 + b"img/1.png\r\nimg/2 3.png",
        "\ufeffimg\\1.png\r\nimg\\2 3.png\r\n".encode("utf-16-le"),
        "\ufeffimg\\1.png\r\nimg\\2 3.png\r\n".encode("utf-16-be"),
    ],
)
def test_as_the_tools_of_every_system_write_them(tmp_path, data):
    assert read_listing(listing(tmp_path, data)) == [PurePosixPath("img/1.png"), PurePosixPath("img/2 3.png")]


def test_a_name_that_is_there_is_meant_as_it_stands(tmp_path):
    names = ["a\\1.png", " b.png", "c.png d.png"]
    for name in names:
        (tmp_path / name).touch()
    assert read_listing(listing(tmp_path, "\n".join(names).encode())) == [PurePosixPath(name) for name in names]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a.png\n/etc/b.png", r"frames\.txt:2: '/etc/b\.png' leads out of the list's folder"),
        (b"../b.png", r"frames\.txt:1: '\.\./b\.png' leads out"),
        (b"a.png\nb.png\na.png", r"frames\.txt:3: 'a\.png' is listed in line 1 already"),
        (b"a.png\nnotes.txt", r"frames\.txt:2: 'notes\.txt' is no image; expected"),
        (
            b"a.png\nimg/1.png,lab/1.png",
            r"frames\.txt:2: .* names 2 files; expected one path a line, such as 'img/1\.png'",
        ),
        (b"img/1.png\tlab/1.png\n", r"frames\.txt:1: .* names 2 files"),
        (b"img/1.png lab/1.png\n", r"frames\.txt:1: .* names 2 files"),
        (b"image,label\n", r"frames\.txt:1: 'image,label' is no image"),
        (b"a.png\nC:\\frames\\b.png", r"frames\.txt:2: 'C:/frames/b\.png' leads out"),
        (b"\\\\server\\b.png", r"frames\.txt:1: '//server/b\.png' leads out"),
        (b"a.png\r\n.\\a.png", r"frames\.txt:2: .* is listed in line 1 already"),
        ("a.png\nb.png".encode("utf-16-le"), r"frames\.txt: is no list of paths; expected a text file in UTF-8"),
        (codecs.BOM_UTF16_LE + b"a", r"frames\.txt: is no list of paths"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"frames\.txt: is no list of paths"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, data, expected):
    with pytest.raises(UserError, match=expected):
        read_listing(listing(tmp_path, data))


def test_a_list_of_nothing(tmp_path):
    with pytest.raises(NoInputsError, match="lists no image"):
        read_listing(listing(tmp_path, b"\n# a.png\n"))
    with pytest.raises(UserError, match="cannot read the list: No such file"):
        read_listing(tmp_path / "nowhere.txt")
