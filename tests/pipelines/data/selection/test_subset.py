"""The few labelled frames: as many as asked for, the same every time, the smaller set within the larger."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.frames import FrameSet
from pipelines.data.readers.layout import Frame
from pipelines.data.selection.subset import labelled_subset
from pipelines.errors import UserError


def frame_set(name, count):
    frames = [Frame(f"{i:03d}", Path(f"{name}/{i}.png"), Path(f"{name}/{i}_ids.png"), None) for i in range(count)]
    return FrameSet(name, Path(name), frames, [])


SETS = [frame_set("day", 12), frame_set("night", 8)]


def names(sets):
    return [f"{frames.name}/{frame.name}" for frames in sets for frame in frames.frames]


def subset(wanted, seed=0, sets=SETS, data=Path()):
    return names(labelled_subset(sets, wanted, seed, data))


@pytest.mark.parametrize(
    ("wanted", "expected"), [(1, 1), (14, 14), (20, 20), (0.1, 2), (0.01, 1), (1.0, 20), (None, 20)]
)
def test_as_many_as_wanted(wanted, expected):
    assert len(subset(wanted)) == expected


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 5))
def test_the_smaller_is_part_of_the_larger_and_the_order_is_kept(one, other, seed):
    few, many = subset(min(one, other), seed), subset(max(one, other), seed)
    assert set(few) <= set(many)
    everything = names(SETS)
    assert many == [name for name in everything if name in many]


def test_the_seed_decides_and_nothing_else():
    assert subset(5, seed=1) == subset(5, seed=1)
    assert len({tuple(subset(5, seed)) for seed in range(6)}) > 3


def test_frames_added_later_reshuffle_nothing():
    """The same number is wanted of a larger set: frames that were not chosen before come in, none changes places."""
    grown = [frame_set("day", 12), frame_set("night", 9)]
    before, after = set(subset(6)), set(subset(6, sets=grown))
    assert len(before - after) <= 1 and after - before <= {"night/008"}


def test_sets_of_which_none_is_wanted_are_left_out(tmp_path):
    (tmp_path / "few.txt").write_text("night/003\n")
    assert [frames.name for frames in labelled_subset(SETS, "few.txt", 0, tmp_path)] == ["night"]


def test_a_list_by_name_with_or_without_the_set(tmp_path):
    (tmp_path / "few.txt").write_text("night/003\n\n  day/001 \n011\n")
    assert subset("few.txt", data=tmp_path) == ["day/001", "day/011", "night/003"]
    assert subset(str(tmp_path / "few.txt"), data=Path("elsewhere")) == ["day/001", "day/011", "night/003"]


def test_a_list_that_a_windows_tool_wrote(tmp_path):
    (tmp_path / "few.txt").write_bytes('\ufeffnight\\003\r\n"day\\001"\r\n'.encode("utf-16-le"))
    assert subset("few.txt", data=tmp_path) == ["day/001", "night/003"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"day/01\n", r"few\.txt: no labelled target frame is called 'day/01'; the likest is day/0"),
        (b"003\n", "'003' is in several sets; write one of day/003, night/003"),
        (b"\n", "lists no frame"),
        (b"\xff\xfea", "cannot be read as a list"),
        (None, "cannot be read as a list"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "few.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        subset("few.txt", data=tmp_path)


def test_a_list_for_frames_without_labels_is_refused(tmp_path):
    (tmp_path / "few.txt").write_text("003\n")
    with pytest.raises(UserError, match=r"labelled_target is .*few\.txt, and no target frame has a label map"):
        labelled_subset([], "few.txt", 0, tmp_path)


def test_more_than_there_are_is_refused():
    with pytest.raises(UserError, match="labelled_target is 21, but only 20 target frames have a label map"):
        subset(21)
