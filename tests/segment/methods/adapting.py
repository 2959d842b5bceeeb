"""Batches and training settings for the tests of methods that adapt."""

import dataclasses

import pytest
import torch

from segment.adaptation.guards import Collapsed
from segment.batches import AdaptationBatch, LabelledBatch
from segment.methods.segmenter_training import SegmenterTrainingSettings
from segment.peers import ALONE, Peers
from tests.method_tester import GatheredGradients, PerformedUpdate

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
        pseudo_label = None if batch.pseudo_label is None else batch.pseudo_label[own]
        yield AdaptationBatch(source, batch.target[own], pseudo_label=pseudo_label)


def gradients_of(method, batch):
    """What a step's losses pull each parameter to, by name; nothing is learnt. The draws are those of one step."""
    torch.manual_seed(3)
    update = GatheredGradients(method)
    method.step(batch, update)
    return update.found


def assert_parts_pull_as_the_whole(make, batch):
    """The mean of the gradients of each image alone is that of all: what several processes learn together is what one
    does. `make` builds the method anew by training settings, here with no normalisation in the way."""
    assert_processes_pull_as_one(lambda training, peers: make(training), batch)


def assert_processes_pull_as_one(make, batch):
    """The same of a method that draws for each image: `make` is told which of the processes it is in as well."""
    training = dataclasses.replace(TRAINING, batch_norm="frozen")
    whole = gradients_of(make(training, ALONE).train(), batch)
    images = enumerate(single_images(batch))
    parts = [gradients_of(make(training, Peers(rank, len(batch.target))).train(), image) for rank, image in images]
    assert whole
    for name, gradient in whole.items():
        mean = sum(part[name] for part in parts) / len(parts)
        torch.testing.assert_close(mean, gradient, atol=1e-7, rtol=1e-4)


def assert_a_collapse_is_named(method, batch, setting):
    """A method that asks for certainty logs what it sees in the target; one class where it saw more ends the run."""
    logged = method.train().step(batch, PerformedUpdate(method))
    shares = {name: share.item() for name, share in logged.items() if name.startswith("target_share/")}
    assert len(shares) == 3 and sum(shares.values()) == pytest.approx(1)
    assert method.warnings(dict(zip(shares, (0.5, 0.3, 0.2), strict=True))) == []
    with pytest.raises(Collapsed, match=rf'99.0% of it is "0"; lower {setting},'):
        for _ in range(10):
            method.warnings(dict(zip(shares, (0.99, 0.01, 0), strict=True)))
