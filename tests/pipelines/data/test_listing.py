"""List files: what they may hold, and that every mistake is named with its line."""

from pathlib import PurePosixPath

import pytest

from pipelines.data.listing import read_listing
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
    ("data", "expected"),
    [
        (b"a.png\n/etc/b.png", r"frames\.txt:2: '/etc/b\.png' leads out of the list's folder"),
        (b"../b.png", r"frames\.txt:1: '\.\./b\.png' leads out"),
        (b"a.png\nb.png\na.png", r"frames\.txt:3: 'a\.png' is listed in line 1 already"),
        (b"a.png\nnotes.txt", r"frames\.txt:2: 'notes\.txt' is no image; expected"),
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
