"""Label consistency and flips, worked out on a handful of pixels."""

import math

import pytest
import torch

from segment.classes import CLASS_NAMES
from translate.quality.consistency import class_flips, label_consistency

ROAD, TREE, SKY = 0, 8, 10
EVERY = range(len(CLASS_NAMES))


def counts(pixels):
    """(19, 20) from {(label, seen): pixels}."""
    confusion = torch.zeros(19, 20, dtype=torch.int64)
    for place, number in pixels.items():
        confusion[place] = number
    return confusion


def test_consistency_worked_out_by_hand():
    """Sky: 6 of 10 pixels kept, 4 seen as trees, IoU 6/10. Road: 10 of 10. No tree in the labels: not counted."""
    confusion = counts({(SKY, SKY): 6, (SKY, TREE): 4, (ROAD, ROAD): 10})
    assert label_consistency(confusion, EVERY) == pytest.approx((0.6 + 1.0) / 2)
    assert label_consistency(confusion, [SKY, TREE]) == pytest.approx(0.6)


def test_a_frame_without_a_class_has_no_score():
    assert math.isnan(label_consistency(counts({}), EVERY))
    assert math.isnan(label_consistency(counts({(ROAD, ROAD): 4}), [SKY]))


def test_sky_turned_into_trees():
    """Half of the sky became trees, a tenth was taken for trees before; road errors were the expert's all along."""
    before = counts({(SKY, SKY): 90, (SKY, TREE): 10, (ROAD, ROAD): 7, (ROAD, TREE): 3})
    after = counts({(SKY, SKY): 50, (SKY, TREE): 50, (ROAD, ROAD): 7, (ROAD, TREE): 3})
    (flip,) = class_flips(after, before, EVERY)
    assert (flip.label, flip.seen_as, flip.translated, flip.source) == (SKY, TREE, 0.5, 0.1)
    assert flip.change == pytest.approx(0.4)
    assert class_flips(after, before, EVERY, least_change=0.41) == []
    assert class_flips(after, before, [SKY, ROAD]) == []


def test_a_mistake_that_takes_another_s_place_is_no_flip():
    """None of the road was recognised before: trees instead of sky there are not the translation's doing."""
    before, after = counts({(ROAD, SKY): 10}), counts({(ROAD, TREE): 10})
    assert class_flips(after, before, EVERY) == []


def test_without_sources_every_confusion_is_told():
    (flip,) = class_flips(counts({(SKY, SKY): 1, (SKY, TREE): 3}), None, EVERY)
    assert flip.translated == flip.change == 0.75 and math.isnan(flip.source)


def test_flips_come_with_the_largest_first():
    before = counts({(SKY, SKY): 10, (ROAD, ROAD): 10})
    after = counts({(SKY, SKY): 9, (SKY, TREE): 1, (ROAD, ROAD): 7, (ROAD, SKY): 3})
    assert [(flip.label, flip.seen_as) for flip in class_flips(after, before, EVERY)] == [(ROAD, SKY), (SKY, TREE)]


def test_counts_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="expected equal ones"):
        class_flips(torch.zeros(19, 20), torch.zeros(5, 6), [0])
