"""What a report says of its making. What it says of a whole comparison: `test_compare.py`."""

import pytest
import torch

from pipelines.stages.comparison.notes import note_on_classes
from pipelines.stages.evaluation.scores import Evaluation


@pytest.mark.parametrize(("groups", "said"), [
    ([], "can express 3 classes, of which the validation frames show 1. Mean IoU is over those that are shown or "
         "predicted (mIoU 16 over at most 3, mIoU 13 over at most 2 of them)."),
    ([[0, 1]], "can express 2 classes, merged ones counted once, of which the validation frames show 1. Mean IoU is "
               "over those that are shown or predicted."),
])  # fmt: skip
def test_classes_that_no_frame_shows_are_not_said_to_count(groups, said):
    """Road, sidewalk and wall: all pixels are road; mean IoU is 1, over road alone. SYNTHIA's 13 have no wall."""
    confusions = torch.zeros(1, 19, 20, dtype=torch.int64)
    confusions[0, 0, 0] = 7
    evaluation = Evaluation(["a"], confusions, groups, [0, 1, 3])
    assert evaluation.mean_iou() == 1 and said in note_on_classes(evaluation)
