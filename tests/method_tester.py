"""What every training method of either stage must do; a new one's test subclasses `MethodTester`."""

import copy
import math

import pytest
import torch


class PerformedUpdate:
    """The engine's part of a step, reduced to what the contract in segment/methods/method.py says.

    `calls` notes each step of an optimizer with the losses since the last one: [(name, {term: value})].
    """

    def __init__(self, method):
        self.method, self.calls, self._since = method, [], {}
        for optimizer in method.optimizers().values():
            optimizer.zero_grad(set_to_none=True)

    def backward(self, losses):
        sum(losses.values()).backward()
        self._since |= {name: loss.item() for name, loss in losses.items()}
        return {name: loss.detach() for name, loss in losses.items()}

    def step(self, *optimizers):
        for name in optimizers:
            self.method.optimizers()[name].step()
            self.method.optimizers()[name].zero_grad(set_to_none=True)
            self.calls.append((name, self._since))
        self._since = {}
        torch.clear_autocast_cache()

    def __call__(self, optimizer, losses):
        learnt = self.backward(losses)
        self.step(optimizer)
        return learnt


class LookOnly(PerformedUpdate):
    """An update that computes all losses and changes nothing."""

    def backward(self, losses):
        assert losses
        return {name: loss.detach() for name, loss in losses.items()}

    def step(self, *optimizers):
        assert set(optimizers) <= set(self.method.optimizers())


class GatheredGradients(PerformedUpdate):
    """What a step's losses pull each parameter to, by name, in `found`; nothing is learnt."""

    def __init__(self, method):
        super().__init__(method)
        self.found = {}

    def step(self, *optimizers):
        for chosen in (self.method.optimizers()[name] for name in optimizers):
            own = {id(parameter) for group in chosen.param_groups for parameter in group["params"]}
            for name, parameter in self.method.named_parameters():
                if id(parameter) in own and parameter.grad is not None:
                    self.found[name] = parameter.grad.clone()
            chosen.zero_grad(set_to_none=True)


class WatchedUpdate(PerformedUpdate):
    """Notes what each step of optimizers changes, in order: `changes`, {names of optimizers: names of tensors}."""

    def __init__(self, method):
        super().__init__(method)
        self.changes = {}

    def step(self, *optimizers):
        before = snapshot(self.method)
        super().step(*optimizers)
        self.changes[optimizers] = changed(before, self.method)

    def networks(self):
        """The changes by network, the first part of a tensor's name."""
        return {step: {name.split(".")[0] for name in names} for step, names in self.changes.items()}


def changed(before, method):
    """Names of the parameters and buffers that differ from the state dict `before`."""
    after = method.state_dict()
    return {name for name in after if not torch.equal(before[name], after[name])}


def snapshot(method):
    return {name: tensor.clone() for name, tensor in method.state_dict().items()}


class MethodTester:
    """A subclass builds a small method, always with the same weights, and a batch for it."""

    def method(self):
        raise AssertionError("a subclass says how its method is made")

    def batch(self):
        raise AssertionError("a subclass says what its method is given")

    @pytest.fixture
    def small(self):
        return self.method().train()

    def test_the_optimizers_are_the_same_objects_at_every_call(self, small):
        assert small.optimizers()
        assert all(small.optimizers()[name] is optimizer for name, optimizer in small.optimizers().items())

    def test_every_trained_parameter_has_exactly_one_optimizer(self, small):
        groups = [group for optimizer in small.optimizers().values() for group in optimizer.param_groups]
        held = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(held) == sorted(id(parameter) for parameter in small.parameters() if parameter.requires_grad)

    def test_a_step_uses_every_optimizer_and_changes_what_it_owns(self, small):
        owned = {
            name: [parameter for group in optimizer.param_groups for parameter in group["params"]]
            for name, optimizer in small.optimizers().items()
        }
        before = {name: copy.deepcopy(parameters) for name, parameters in owned.items()}
        update = PerformedUpdate(small)
        small.step(self.batch(), update)
        assert {name for name, _ in update.calls} == set(owned)
        for name, parameters in owned.items():
            assert any(not torch.equal(a, b) for a, b in zip(before[name], parameters, strict=True)), name

    def test_a_step_leaves_no_gradient_behind(self, small):
        """One that a network got by the way of another's loss would be added to its own in the next step."""
        small.step(self.batch(), PerformedUpdate(small))
        left = [name for name, parameter in small.named_parameters() if parameter.grad is not None]
        assert not left

    def test_a_step_does_not_depend_on_gradients_left_behind(self):
        clean, littered = self.method().train(), self.method().train()
        for parameter in littered.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.full_like(parameter, 1e3)
        for method in (clean, littered):
            torch.manual_seed(1)
            method.step(self.batch(), PerformedUpdate(method))
        assert not changed(snapshot(clean), littered)

    def test_the_layout_of_memory_changes_no_gradient(self):
        """torch 2.15's instance norm, for one, is wrong for one image in channels-last."""
        gradients = []
        for layout in (torch.contiguous_format, torch.channels_last):
            method = self.method().train().to(memory_format=layout)
            update = GatheredGradients(method)
            torch.manual_seed(0)
            method.step(self.batch(), update)
            gradients.append(update.found)
        for name, expected in gradients[0].items():
            # A bias that a normalisation takes away has a gradient of rounding errors, and so may a whole layer.
            if expected.ndim > 1 and expected.norm() > 1e-6:
                assert (gradients[1][name] - expected).norm() <= 0.01 * expected.norm(), name

    def test_the_log_is_finite_scalars_and_all_that_was_optimised(self, small):
        update = PerformedUpdate(small)
        logged = small.step(self.batch(), update)
        assert logged and all(value.shape == () and not value.requires_grad for value in logged.values())
        logged = {name: value.item() for name, value in logged.items()}
        assert all(math.isfinite(value) for value in logged.values())
        for _, losses in update.calls:
            assert losses.items() <= logged.items()

    def test_the_learning_rate_is_positive_and_a_function_of_the_step(self, small):
        forwards = [small.learning_rate_scale(step) for step in range(10)]
        backwards = [small.learning_rate_scale(step) for step in reversed(range(10))]
        assert forwards == backwards[::-1]
        assert all(0 < scale <= 1 for scale in forwards)

    def test_a_resumed_method_goes_on_as_the_unbroken_one(self):
        """Two steps, then two more, once straight on and once by a copy that was given the state."""
        unbroken, resumed = self.method().train(), self.method().train()
        for step in range(2):
            torch.manual_seed(step)
            unbroken.step(self.batch(), PerformedUpdate(unbroken))
        resumed.load_state_dict(snapshot(unbroken))
        for name, optimizer in unbroken.optimizers().items():
            resumed.optimizers()[name].load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for each in (unbroken, resumed):
            for step in (2, 3):
                torch.manual_seed(step)
                each.step(self.batch(), PerformedUpdate(each))
        assert not changed(snapshot(unbroken), resumed)

    def test_the_preview_is_pictures_and_leaves_no_trace(self, small):
        before = snapshot(small)
        pictures = small.preview(self.batch())
        assert pictures
        for picture in pictures.values():
            assert picture.ndim == 4 and picture.shape[1] == 3 and not picture.requires_grad
            assert picture.min() >= 0 and picture.max() <= 1
        assert small.training and not changed(before, small)

    def test_a_batch_moves_to_a_device_as_a_whole(self):
        assert all(tensor.device.type == "meta" for tensor in tensors_of(self.batch().to("meta")))


def tensors_of(batch):
    """All tensors of a batch and of the batches in it."""
    for part in vars(batch).values():
        if part is not None:
            yield from [part] if isinstance(part, torch.Tensor) else tensors_of(part)
