"""A single generator and its moving average, on a generator of one weight."""

import pytest
import torch
from torch import nn

from translate.methods.one_way_training import OneWayTraining
from translate.methods.translator_training import TranslatorTrainingSettings
from translate.translator import ImageTranslator


class Weighing(OneWayTraining, ImageTranslator):
    """Multiplies by its weight, 1 when drawn; never trained."""

    directions = ("source_to_target",)
    Settings = TranslatorTrainingSettings

    def __init__(self, settings):
        generator = nn.Conv2d(1, 1, 1, bias=False)
        generator.side_multiple = generator.smallest_side = 1
        nn.init.ones_(generator.weight)
        super().__init__({"source_to_target": generator})
        self.settings = settings
        self.average = self.fresh_average()

    @classmethod
    def translator(cls, settings):
        return ImageTranslator({"source_to_target": nn.Conv2d(1, 1, 1, bias=False)})

    def step(self, batch, update):
        return {}

    def preview(self, batch):
        return {}


def weighing(ema_decay=0.9):
    return Weighing(TranslatorTrainingSettings(ema_decay=ema_decay))


def test_without_an_average_the_generator_translates():
    method = weighing(ema_decay=None)
    assert method.average is None and method.generator() is method.source_to_target
    method.follow_with_average()
    assert Weighing.kept(method.settings) == {"source_to_target": "source_to_target."}


def test_the_average_follows_the_generator_and_translates():
    """Early on the decay is 1 / 10: from 1 towards 3, 0.1 x 1 + 0.9 x 3 = 2.8."""
    method = weighing()
    nn.init.constant_(method.source_to_target.weight, 3.0)
    method.follow_with_average()
    assert method.generator() is method.average.network
    assert method.generator().weight.item() == pytest.approx(2.8)
    prefix = Weighing.kept(method.settings)["source_to_target"]
    assert torch.equal(method.state_dict()[f"{prefix}weight"], method.generator().weight)


def test_a_warm_start_begins_the_average_anew():
    method = weighing()
    method.follow_with_average()
    method.start_from({"source_to_target.weight": torch.full((1, 1, 1, 1), 5.0)})
    assert method.generator().weight.item() == 5.0 and int(method.average.updates) == 0
