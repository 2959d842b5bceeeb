"""Frames in memory whose grey says which they are, batches of them, and what may be changed in a frame."""

from collections import Counter

import numpy as np
import torch

from pipelines.data.sampling.augment import FrameChanges, SegmenterAugmentation
from pipelines.data.sampling.batches import Crops, Draws, FramePool
from pipelines.data.sampling.labelled_batches import LabelledBatches, Mixture
from pipelines.data.sampling.unpaired_batches import UnpairedBatches


class Painted:
    """A frame set in memory: frame i is of grey `first + i`, with the label maps given."""

    name = "painted"

    def __init__(self, count=0, first=0, size=(16, 24), label_maps=None, without=()):
        self.label_maps = label_maps or [np.full(size, i % 19, np.uint8) for i in range(count)]
        self.without = without
        self.first, self.reads = first, Counter()

    def __len__(self):
        return len(self.label_maps)

    def has_label_map(self, index):
        return index not in self.without

    def read_image(self, index):
        self.reads[index] += 1
        return np.full((*self.label_maps[index].shape, 3), self.first + index, np.uint8)

    def read_label_map(self, index):
        return self.label_maps[index]


def greys(image):
    """Which frame each image of a batch was cut from."""
    return [round(value.item() * 255) for value in image[:, 0, 0, 0]]


LOOKS = {
    "colour_jitter": {"colour_jitter": 0.5},
    "gamma": {"gamma": 1.0},
    "grey": {"grey": 1.0},
    "blur": {"blur": 1.0},
    "noise": {"noise": 1.0},
    "jpeg": {"jpeg": 1.0},
    "colour style": {"style_from_target": 1.0},
    "histogram style": {"style_from_target": 1.0, "style": "histogram"},
    "fourier style": {"style_from_target": 1.0, "style": "fourier", "style_window": 0.05},
}
"""Each change of a frame by itself, in full."""
EVERYTHING = {key: value for changes in LOOKS.values() for key, value in changes.items()} | {"style": "either"}
PLAIN = SegmenterAugmentation(16, (24, 16))
RICH = SegmenterAugmentation(16, (24, 16), (0.5, 2.0), FrameChanges(flip=True, colour_jitter=0.5, blur=0.5))


CROPS = Crops(16, (8, 8))


def unpaired(batch=2, seed=3, sources=5, targets=7):
    pools = FramePool([Painted(sources)], 16), FramePool([Painted(targets, first=100)], 16)
    return UnpairedBatches(*pools, Draws(seed, batch), CROPS)


def labelled(seed=3, shares=None, augmentation=RICH):
    pools = {"translated": FramePool([Painted(5)], 32), "source": FramePool([Painted(6, first=100)], 32)}
    mixture = Mixture(shares or {"translated": 0.5, "source": 0.5})
    return LabelledBatches(pools, mixture, Draws(seed, 3), augmentation)


def fields(batch):
    """The tensors of a batch."""
    return [tensor for tensor in vars(batch).values() if tensor is not None]


def assert_equal(one, other):
    """Two batches hold the same."""
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(fields(one), fields(other), strict=True))
