"""Batches and training settings for the tests of methods that adapt."""

import torch

from segment.batches import AdaptationBatch, LabelledBatch
from segment.methods.segmenter_training import SegmenterTrainingSettings
from tests.method_tester import GatheredGradients

TRAINING = SegmenterTrainingSettings(steps=10, learning_rate=0.05, warmup_steps=0, loss="cross_entropy")


def two_domains(size=32):
    """Source: dark is class 0, bright class 1. Target: the same, less bright, and without labels."""
    random = torch.Generator().manual_seed(1)
    label_map = torch.randint(0, 2, (2, size // 8, size // 8), generator=random)
    label_map = label_map.repeat_interleave(8, 1).repeat_interleave(8, 2)
    image = label_map[:, None].expand(2, 3, size, size).float()
    return AdaptationBatch(LabelledBatch(image, label_map), 0.5 * image.flip(0) + 0.1)


def single_images(batch):
    """A batch of each image alone, as each of several processes would be given its part."""
    for i in range(len(batch.target)):
        own = slice(i, i + 1)
        source = LabelledBatch(batch.source.image[own], batch.source.label_map[own])
        yield AdaptationBatch(source, batch.target[own])


def gradients_of(method, batch):
    """What a step's losses pull each parameter to, by name; nothing is learnt."""
    update = GatheredGradients(method)
    method.step(batch, update)
    return update.found
