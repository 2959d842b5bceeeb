"""What every training method of stage two must do; the test of a new one subclasses `SegmenterTrainingTester`."""

import pytest
import torch
from torch import nn

from segment.adaptation.feature_norm import FeatureNorm, FeatureNormSettings
from segment.methods import METHODS
from segment.networks.segmenter import Segmenter, SegmenterOutput
from tests.method_tester import GatheredGradients, MethodTester, PerformedUpdate, WatchedUpdate

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


class WithoutAuxiliary(TinySegmenter):
    """A tiny segmenter with one head alone."""

    def coarse_logits(self, normalised):
        return SegmenterOutput(self.main(self.features(normalised)))


class SegmenterTrainingTester(MethodTester):
    """What every method of stage two must do beyond what all methods do. A subclass names it and builds a small one."""

    name: str
    """Key of METHODS."""

    def test_it_is_the_method_of_that_name(self, small):
        assert type(small) is METHODS[self.name]

    def test_longer_features_are_asked_for_in_both_domains_by_one_setting(self):
        """Passes that a method learns from go through `output`, whose outputs carry the loss on norms."""
        if METHODS[self.name].learns_from == "labelled":
            pytest.skip("learns from one domain")
        gradients = []
        for weight in (1e-9, 1.0):
            method = self.method().train()
            method.feature_norm = FeatureNorm(FeatureNormSettings(weight=weight), steps=10)
            update = GatheredGradients(method)
            for step in range(2):  # the first may be for source labels alone
                torch.manual_seed(step)
                method.step(self.batch(), update)
            assert method.observed().keys() == {"feature_norm/source", "feature_norm/target"}
            assert all(norm.isfinite() and not norm.requires_grad for norm in method.observed().values())
            assert method.feature_norm.steps_taken.value == 2
            gradients.append(update.found)
        moved = {name for name, found in gradients[1].items() if not torch.equal(found, gradients[0][name])}
        assert moved == {name for name in moved if name.startswith("network.features.")} != set()

    def test_bf16_moves_what_float32_moves(self):
        """Passes without gradient, of frozen parts, of weights just changed: none may keep bf16 weights for others."""
        found = []
        for enabled in (False, True):
            method = self.method().train()
            update = WatchedUpdate(method)
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                logged = method.step(self.batch(), update)
            assert all(value.isfinite() for value in logged.values())
            # A bias that a normalisation takes away moves by rounding errors, or not at all.
            wide = {name for name, tensor in method.state_dict().items() if tensor.ndim > 1}
            found.append({step: names & wide for step, names in update.changes.items()})
        assert found[0] == found[1]

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
