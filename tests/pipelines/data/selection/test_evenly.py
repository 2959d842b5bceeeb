"""Some of many, evenly spread: the first and the last among them."""

from pipelines.data.selection.evenly import evenly


def test_evenly_spread():
    assert evenly(range(10), 4) == [0, 3, 6, 9] and evenly(range(3), 4) == evenly(range(3), None) == [0, 1, 2]
