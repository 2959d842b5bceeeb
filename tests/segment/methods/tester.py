"""What every training method of stage two must do; the test of a new one subclasses `SegmenterTrainingTester`."""

import torch
from torch import nn

from segment.methods import METHODS
from segment.networks.segmenter import Segmenter, SegmenterOutput
from tests.method_tester import MethodTester, PerformedUpdate

NUM_CLASSES = 3


class TinySegmenter(Segmenter):
    """Two convolutions and two heads at half resolution: quick, and all that a method may rely on."""

    stride = 2
    encoder = "features"
    classifier = "main"

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.main = nn.Conv2d(8, NUM_CLASSES, 1)
        self.auxiliary = nn.Conv2d(8, NUM_CLASSES, 1)

    def coarse_logits(self, normalised):
        features = self.features(normalised)
        return SegmenterOutput(self.main(features), (self.auxiliary(features),) if self.training else ())


class SegmenterTrainingTester(MethodTester):
    """What every method of stage two must do beyond what all methods do. A subclass names it and builds a small one."""

    name: str
    """Key of METHODS."""

    def test_it_is_the_method_of_that_name(self, small):
        assert type(small) is METHODS[self.name]

    def test_the_evaluated_network_predicts_after_a_step(self, small):
        small.step(self.batch(), PerformedUpdate(small))
        logits = small.evaluated_network().eval()(torch.rand(1, 3, 16, 16))
        assert logits.shape == (1, NUM_CLASSES, 16, 16) and logits.isfinite().all()

    def test_the_evaluated_network_is_found_by_its_prefix(self, small):
        """A trained segmenter is opened without its method: `network.` or `average.network.` is all of it."""
        state = small.state_dict()
        prefix = "average.network." if small.average is not None else "network."
        own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        fresh = TinySegmenter()
        fresh.load_state_dict(own, strict=True)
        assert all(torch.equal(value, own[key]) for key, value in fresh.state_dict().items())
