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


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# mine\nday/003\n", ["day/003"]),
        ("day/3.png\n", ["day/003"]),  # the image's file
        ("day/00[12]\nnight/*7\n", ["day/001", "day/002", "night/007"]),
        ("*/005\n", ["day/005", "night/005"]),
    ],
)
def test_a_list_names_frames_as_those_of_data_sets_do(tmp_path, content, expected):
    (tmp_path / "few.txt").write_text(content)
    assert subset("few.txt", data=tmp_path) == expected


def test_what_a_set_calls_a_frame_is_not_another_ones_file(tmp_path):
    """Of "day" the frame 5 lies in 5.png; of "odd" there is a frame that is called 5."""
    odd = FrameSet("odd", Path("odd"), [Frame("5", Path("odd/x.png"), Path("odd/x_ids.png"), None)], [])
    (tmp_path / "few.txt").write_text("5\n")
    assert subset("few.txt", sets=[*SETS, odd], data=tmp_path) == ["odd/5"]


def test_a_list_that_a_windows_tool_wrote(tmp_path):
    (tmp_path / "few.txt").write_bytes('\ufeffnight\\003\r\n"day\\001"\r\n'.encode("utf-16-le"))
    assert subset("few.txt", data=tmp_path) == ["day/001", "night/003"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"day/01\n", r"few\.txt: no labelled target frame is called or matches 'day/01'; the likest is 'day/0"),
        (b"003\n", "'003' is the name of several labelled target frames; write one of day/003, night/003"),
        (b"day/003.png day/003_ids.png\n", "expected one name a line, and .* is two; keep the image's"),
        (b"# nothing\n\n", r"labelled_target: .*few\.txt names no frame"),
        (b"\0\0\0\0", r"labelled_target: .*few\.txt is no list of frame names"),
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
