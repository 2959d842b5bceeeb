"""Groups of classes: joined, and known by their lowest."""

from segment.class_groups import class_titles, counted_once, joined_groups, lowest_ids
from segment.classes import IGNORE_INDEX as N


def test_groups_that_share_a_class_are_joined_even_by_a_third():
    assert joined_groups([{7, 6}, {18, 12}]) == [[6, 7], [12, 18]]
    assert joined_groups([{3, 4}, {8, 9}, {9, 4}, {1, 2}]) == [[1, 2], [3, 4, 8, 9]]
    assert joined_groups([{6, 7}, {6, 7}]) == [[6, 7]] and joined_groups([]) == []


def test_a_class_counts_as_the_lowest_of_its_group():
    lowest = lowest_ids([(7, 6), (18, 12)])
    assert len(lowest) == 256
    assert [lowest[i] for i in (5, 6, 7, 12, 18, N)] == [5, 6, 6, 12, 12, N]
    assert counted_once([5, 7, 18, 12], [(7, 6), (18, 12)]) == [5, 12]


def test_a_group_is_called_by_all_its_classes():
    titles = class_titles([{7, 6}])
    assert titles[6] == "traffic light + traffic sign" and titles[0] == "road" and len(titles) == 19
