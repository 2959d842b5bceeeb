"""A batch and a small supervised method for the tests of what methods of stage two share."""

import torch

from segment.batches import LabelledBatch
from segment.classes import IGNORE_INDEX
from segment.methods.segmenter_training import SegmenterTrainingSettings
from segment.methods.supervised import Supervised
from tests.segment.methods.tester import TinySegmenter


def bright_and_dark():
    """Dark pixels are class 0, bright ones class 1; one row is ignored."""
    torch.manual_seed(1)
    label_map = torch.randint(0, 2, (2, 4, 4)).repeat_interleave(4, 1).repeat_interleave(4, 2)
    image = label_map[:, None].expand(2, 3, 16, 16).float()
    label_map = label_map.clone()
    label_map[:, 0] = IGNORE_INDEX
    return LabelledBatch(image, label_map)


COLLABORATORS = ("class_weights", "peers", "augmentation")


def supervised(**settings):
    collaborators = {name: settings.pop(name) for name in COLLABORATORS if name in settings}
    training = SegmenterTrainingSettings(**{"steps": 10, "learning_rate": 0.05, "warmup_steps": 0} | settings)
    torch.manual_seed(0)
    return Supervised(TinySegmenter(), training, **collaborators)
