"""Which frames are of one drive, by hand; and the few of each that are left."""

import pytest

from pipelines.data.selection.drives import drives_of, evenly_of_drives, stretches


def test_consecutive_numbers_are_a_stretch_up_to_a_gap():
    """The median step is 2: twice as far still belongs to it, five times as far does not."""
    names = ["f10", "f12", "f14", "f18", "f28", "f30"]
    assert stretches(names) == {
        "f10": "f10", "f12": "f10", "f14": "f10", "f18": "f10", "f28": "f28", "f30": "f28",
    }  # fmt: skip


def test_names_that_differ_elsewhere_are_other_stretches():
    names = ["town1/rgb/0001", "town1/rgb/0002", "town2/rgb/0003", "0004_left", "0005_right"]
    assert list(stretches(names).values()) == ["town1/rgb/0001"] * 2 + names[2:]


def test_the_last_number_counts_and_order_does_not():
    assert stretches(["b_1_3", "b_1_2", "b_2_4"]) == {"b_1_2": "b_1_2", "b_1_3": "b_1_2", "b_2_4": "b_2_4"}


@pytest.mark.parametrize("name", ["{:06}_10", "{:06}_cam2", "run_3/{}_of_800"])
def test_a_number_that_all_names_have_counts_no_frames(name):
    names = [name.format(number) for number in range(7, 12)]
    assert set(stretches(names).values()) == {names[0]}


def test_a_name_without_a_number_stands_alone():
    assert stretches(["cat", "dog"]) == {"cat": "cat", "dog": "dog"} and stretches([]) == {}


def test_what_names_tell_comes_first():
    assert drives_of(["a1", "a2", "a3"], ["x", None, None]) == ["x", "a2", "a2"]


@pytest.mark.parametrize(("most", "kept"), [(1, [3, 7]), (2, [1, 4, 6, 7]), (3, [1, 3, 5, 6, 7]), (9, list(range(8)))])
def test_frames_left_of_a_drive_lie_in_the_middle_of_equal_parts(most, kept):
    """Six frames of a drive, 0 to 5, of whose halves the middles are 1 and 4; and two of another, 6 and 7."""
    assert evenly_of_drives([*"aaaaaa", *"bb"], most) == kept
