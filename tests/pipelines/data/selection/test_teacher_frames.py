"""A teacher's frames are found by name: ours by the manifest, another tool's by its files; a missing one is named."""

import numpy as np
import pytest

from pipelines.data.disk.manifest import JOURNAL
from pipelines.data.frames import FrameSet
from pipelines.data.images import write_image
from pipelines.data.readers.layout import Frame
from pipelines.data.selection.teacher_frames import find_teacher_frames
from pipelines.errors import UserError


@pytest.fixture
def sources(tmp_path):
    """Two sets: a town's two frames, one of which has a label map, and a country road's."""
    town = [
        Frame("a/1", tmp_path / "town/a/1_rgb.png", label=tmp_path / "1.png"),
        Frame("a/2", tmp_path / "a/2_rgb.png"),
    ]
    road = [Frame("3", tmp_path / "road/3.png", label=tmp_path / "3.png")]
    return [FrameSet("town", tmp_path / "town", town, []), FrameSet("road", tmp_path / "road", road, [])]


@pytest.fixture
def folder(tmp_path):
    """A function: names of files -> a folder with an image of each."""

    def write(*names):
        for name in names:
            write_image(tmp_path / "translated" / name, np.zeros((4, 4, 3), np.uint8))
        (tmp_path / "translated").mkdir(exist_ok=True)
        return tmp_path / "translated"

    return write


@pytest.mark.parametrize(
    "names",
    [
        ("town/a/1.png", "town/a/2.png", "road/3.png"),
        ("a/1.jpg", "a/2.png", "3.png"),
        ("1_rgb.png", "2_rgb.png", "3.png", "another.png"),
    ],
)
def test_by_our_names_by_the_sets_or_by_the_files(folder, sources, names):
    found = find_teacher_frames(folder(*names), sources)
    pairs = [
        (frame.image.name, translated.image.relative_to(folder()).as_posix())
        for source, other in zip(found.sources, found.translated, strict=True)
        for frame, translated in zip(source.frames, other.frames, strict=True)
    ]
    assert pairs == [("1_rgb.png", names[0]), ("2_rgb.png", names[1]), ("3.png", names[2])]
    assert [one.name for one in found.sources] == ["town", "road"]


def test_frames_without_labels_may_be_without_translation(folder, sources):
    found = find_teacher_frames(folder("town/a/1.png", "road/3.png"), sources)
    assert [[frame.name for frame in one.frames] for one in found.sources] == [["a/1"], ["3"]]


def test_a_missing_one_is_named(folder, sources):
    with pytest.raises(UserError, match=r"no translation of source frame 'road/3'; 1 of 3 frames are missing by name"):
        find_teacher_frames(folder("town/a/1.png", "town/a/2.png"), sources)


def test_without_any_labels_all_must_be_there(folder, sources, tmp_path):
    bare = [FrameSet("town", tmp_path, [Frame("1", tmp_path / "1.png"), Frame("2", tmp_path / "2.png")], [])]
    with pytest.raises(UserError, match="no translation of source frame '2'; 1 of 2"):
        find_teacher_frames(folder("1.png"), bare)


def test_one_translation_is_not_that_of_two_frames(folder, tmp_path):
    same = [FrameSet(name, tmp_path, [Frame("1", tmp_path / name / "1.png")], []) for name in ("day", "night")]
    with pytest.raises(UserError, match="'1' is the name of two source frames"):
        find_teacher_frames(folder("1.png"), same)


def test_what_is_not_there_or_not_finished_is_refused(folder, sources, tmp_path):
    with pytest.raises(UserError, match="is not there; expected a translator or a folder of its frames"):
        find_teacher_frames(tmp_path / "nowhere", sources)
    (folder("town/a/1.png") / JOURNAL).write_bytes(b"")
    with pytest.raises(UserError, match="stopped half-way; run the command that began it again"):
        find_teacher_frames(folder(), sources)
