"""What is counted of a frame, decided once for all frames that are scored together."""

import numpy as np
import pytest

from pipelines.data.labels.encodings import camvid, cityscapes
from pipelines.errors import UserError
from pipelines.stages.evaluation.evaluation_counts import (
    Counted,
    Measures,
    count_frame,
    gathered,
    scoring,
    what_to_count,
)
from segment.metrics.boundaries import CITYSCAPES_RATIO, GENERAL_RATIO
from tests.pipelines.stages.evaluation.scored import CAMVID_ID, CAR, CITYSCAPES_ID, ROAD, VOID, frame_set


def test_sets_that_merge_classes_differently_are_refused(tmp_path):
    one = frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD]], name="one")
    two = frame_set(tmp_path, camvid(), CAMVID_ID, [[ROAD]], name="two")
    with pytest.raises(UserError, match="cannot be scored together"):
        scoring([one, two])


def test_what_is_counted_follows_from_the_labels_and_from_what_is_asked_for(tmp_path):
    """Boundaries of Cityscapes are as wide as its benchmark has them; instances need a map beside every label."""
    fine = frame_set(tmp_path, cityscapes(), CITYSCAPES_ID, [[ROAD]], name="fine")
    coarse = frame_set(tmp_path, camvid(), CAMVID_ID, [[ROAD]], name="coarse")
    assert what_to_count([fine], Measures()) == Counted([], list(range(19)), False, None)
    assert what_to_count([fine], Measures(boundary=True)).boundary_ratio == CITYSCAPES_RATIO
    merged = what_to_count([coarse], Measures(boundary=True))
    assert merged.boundary_ratio == GENERAL_RATIO != CITYSCAPES_RATIO and merged.groups == [
        [6, 7],
        [12, 18],
        [13, 14, 15],
    ]


def test_a_former_evaluation_serves_if_it_holds_all_that_is_asked_for():
    figures = {"mean_iou": 0.5, "boundary_iou": {}}
    assert Measures().within(figures) and Measures(boundary=True).within(figures)
    assert not Measures(boundary=True, calibration=True).within(figures)


def test_a_frame_is_counted_by_hand():
    """Two road pixels, one seen as car; one car pixel seen as nothing, one void pixel left out."""
    label_map, prediction = np.array([[ROAD, ROAD, CAR, VOID]], np.uint8), np.array([[ROAD, CAR, VOID, CAR]], np.uint8)
    counts = count_frame(label_map, prediction, None, Counted([], list(range(19)), True, None))
    expected = np.zeros((19, 20), int)
    expected[ROAD, ROAD] = expected[ROAD, CAR] = expected[CAR, 19] = 1
    assert (counts.confusion == expected).all()
    assert counts.instances is None and counts.boundaries is None  # no label file, so no instance map beside it


def test_the_counts_of_frames_stay_apart_in_the_order_of_their_names():
    counted = Counted([], list(range(19)), False, None)
    maps = [np.full((1, pixels), ROAD, np.uint8) for pixels in (1, 3)]
    evaluation = gathered(["a", "b"], ["a", "b"], [count_frame(one, one, None, counted) for one in maps], counted)
    assert evaluation.confusions.shape == (2, 19, 20) and evaluation.confusions.sum((1, 2)).tolist() == [1, 3]
    assert evaluation.instances is None and evaluation.boundaries is None and evaluation.names == ["a", "b"]
