"""What every translation method must do. A new method's test subclasses `MethodTester` in a few lines."""

import copy
import math

import torch


class PerformedUpdate:
    """The engine's part of a step, reduced to what the contract in segment/methods/method.py says."""

    def __init__(self, method):
        self.method = method
        self.calls = []

    def __call__(self, optimizer, losses):
        chosen = self.method.optimizers()[optimizer]
        chosen.zero_grad(set_to_none=True)
        sum(losses.values()).backward()
        chosen.step()
        self.calls.append((optimizer, {name: loss.item() for name, loss in losses.items()}))


def changed(before, method):
    """Names of the parameters and buffers that differ from the state dict `before`."""
    after = method.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name])}


def snapshot(method):
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


class MethodTester:
    def method(self):
        """A method of a few parameters, always with the same weights."""
        raise AssertionError("a subclass says how its method is made")

    def batch(self):
        raise AssertionError("a subclass says what its method is given")

    def test_optimizers_are_the_same_at_every_call(self):
        method = self.method()
        assert method.optimizers()
        assert all(method.optimizers()[name] is optimizer for name, optimizer in method.optimizers().items())

    def test_every_trained_parameter_has_exactly_one_optimizer(self):
        method = self.method()
        held = [
            id(parameter)
            for optimizer in method.optimizers().values()
            for group in optimizer.param_groups
            for parameter in group["params"]
        ]
        trained = {id(parameter) for parameter in method.parameters() if parameter.requires_grad}
        assert len(held) == len(set(held))
        assert set(held) == trained

    def test_learning_rate_depends_on_the_step_alone(self):
        method = self.method()
        forwards = [method.learning_rate_scale(step) for step in range(10)]
        backwards = [method.learning_rate_scale(step) for step in reversed(range(10))]
        assert forwards == backwards[::-1]
        assert forwards[0] == 1.0
        assert all(0 < scale <= 1 for scale in forwards)

    def test_step_logs_finite_scalars_and_all_that_it_optimised(self):
        method = self.method()
        update = PerformedUpdate(method)
        logged = {name: value.item() for name, value in method.step(self.batch(), update).items()}
        assert all(math.isfinite(value) for value in logged.values())
        for _, losses in update.calls:
            assert losses.items() <= logged.items()
        assert sorted(name for name, _ in update.calls) == sorted(method.optimizers())

    def test_step_does_not_depend_on_gradients_left_behind(self):
        clean, littered = self.method(), self.method()
        for parameter in littered.parameters():
            parameter.grad = torch.full_like(parameter, 1e3)
        for method in (clean, littered):
            torch.manual_seed(1)
            method.step(self.batch(), PerformedUpdate(method))
        assert not changed(snapshot(clean), littered)

    def test_a_resumed_method_goes_on_as_if_it_had_never_stopped(self):
        method, resumed = self.method(), self.method()
        update = PerformedUpdate(method)
        for step in range(3):
            torch.manual_seed(step)
            method.step(self.batch(), update)
        resumed.load_state_dict(snapshot(method))
        for name, optimizer in method.optimizers().items():
            resumed.optimizers()[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for each in (method, resumed):
            torch.manual_seed(3)
            each.step(self.batch(), PerformedUpdate(each))
        assert not changed(snapshot(method), resumed)

    def test_preview_shows_images_and_changes_nothing(self):
        method = self.method()
        before = snapshot(method)
        pictures = method.preview(self.batch())
        assert pictures
        for picture in pictures.values():
            assert picture.ndim == 4 and picture.shape[1] == 3
            assert picture.min() >= 0 and picture.max() <= 1
            assert not picture.requires_grad
        assert not changed(before, method)

    def test_batch_moves_to_a_device(self):
        moved = self.batch().to("meta")
        assert all(tensor.device.type == "meta" for tensor in vars(moved).values())
