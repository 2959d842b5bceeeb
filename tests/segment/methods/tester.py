"""What every training method of this stage must do; the test of a new one subclasses `MethodTester` in a few lines."""

import copy

import pytest
import torch
from torch import nn

from segment.methods import METHODS
from segment.networks.segmenter import Segmenter, SegmenterOutput

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


def learn(method):
    """The engine's part of a step in its plainest form; notes which optimizer was asked to minimise what."""
    calls = []

    def update(optimizer, losses):
        calls.append((optimizer, {name: loss.item() for name, loss in losses.items()}))
        method.optimizers()[optimizer].zero_grad()
        sum(losses.values()).backward()
        method.optimizers()[optimizer].step()

    update.calls = calls
    return update


class MethodTester:
    """A subclass names the method, builds a small one and a batch for it."""

    name: str
    """Key of METHODS."""

    def method(self):
        raise TypeError("Build a small method here.")

    def batch(self):
        raise TypeError("Build a batch here.")

    @pytest.fixture
    def small(self):
        torch.manual_seed(0)
        method = self.method()
        assert isinstance(method, METHODS[self.name])
        return method.train()

    def test_a_step_uses_every_optimizer_and_changes_what_it_owns(self, small):
        before = {name: copy.deepcopy(optimizer.param_groups) for name, optimizer in small.optimizers().items()}
        update = learn(small)
        small.step(self.batch(), update)
        assert {name for name, _ in update.calls} == set(small.optimizers())
        for name, optimizer in small.optimizers().items():
            old = [parameter for group in before[name] for parameter in group["params"]]
            new = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            assert any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))

    def test_every_parameter_that_is_trained_has_one_optimizer(self, small):
        groups = [group for optimizer in small.optimizers().values() for group in optimizer.param_groups]
        owned = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(owned) == sorted(id(p) for p in small.parameters() if p.requires_grad)

    def test_the_optimizers_are_the_same_objects_at_every_call(self, small):
        assert all(small.optimizers()[name] is optimizer for name, optimizer in small.optimizers().items())

    def test_the_log_is_finite_scalars(self, small):
        log = small.step(self.batch(), learn(small))
        assert log and all(value.shape == () and value.isfinite() for value in log.values())

    def test_a_resumed_method_goes_on_as_the_unbroken_one(self, small):
        """Two steps, then two more, once straight on and once by a copy that was given the state."""
        batch = self.batch()
        for _ in range(2):
            small.step(batch, learn(small))
        resumed = self.method().train()
        resumed.load_state_dict(copy.deepcopy(small.state_dict()))
        for name, optimizer in resumed.optimizers().items():
            optimizer.load_state_dict(copy.deepcopy(small.optimizers()[name].state_dict()))
        for one in (small, resumed):
            for step in range(2):
                torch.manual_seed(step)
                one.step(batch, learn(one))
        assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in small.state_dict().items())

    def test_the_learning_rate_is_positive_and_a_function_of_the_step(self, small):
        scales = [small.learning_rate_scale(step) for step in (0, 3, 1, 3, 0)]
        assert min(scales) > 0
        assert (scales[1], scales[0]) == (scales[3], scales[4])

    def test_the_preview_is_pictures_and_leaves_no_trace(self, small):
        before = copy.deepcopy(small.state_dict())
        preview = small.preview(self.batch())
        assert preview
        for picture in preview.values():
            assert picture.ndim == 4 and picture.shape[1] == 3
            assert picture.min() >= 0 and picture.max() <= 1
        assert small.training
        assert all(torch.equal(value, small.state_dict()[key]) for key, value in before.items())
