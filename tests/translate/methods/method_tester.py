"""What every translation method must do. A new method's test subclasses `MethodTester` in a few lines."""

import copy
import math

import pytest
import torch

from segment.methods.method import parts_of


class PerformedUpdate:
    """The engine's part of a step, reduced to what the contract in segment/methods/method.py says."""

    def __init__(self, method):
        self.method = method
        self.calls = []

    def __call__(self, optimizer, losses):
        chosen = self.method.optimizers()[optimizer]
        chosen.zero_grad(set_to_none=True)
        values = {}
        for part in parts_of(losses):
            sum(part.values()).backward()
            values |= {name: loss.item() for name, loss in part.items()}
        chosen.step()
        self.calls.append((optimizer, values))


def look_only(optimizer, losses):
    """An update that computes all losses and changes nothing."""
    for part in parts_of(losses):
        assert part


def gradients_of_a_step(method, batch):
    """What a step's losses pull each parameter to, by name; nothing is learnt."""
    found = {}

    def gather(optimizer, losses):
        method.zero_grad(set_to_none=True)
        for part in parts_of(losses):
            sum(part.values()).backward()
        parameters = {id(p) for group in method.optimizers()[optimizer].param_groups for p in group["params"]}
        for name, parameter in method.named_parameters():
            if id(parameter) in parameters and parameter.grad is not None:
                found[name] = parameter.grad.clone()

    torch.manual_seed(0)
    method.step(batch, gather)
    return found


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

    def test_the_layout_of_memory_changes_no_gradient(self):
        """torch 2.15's instance norm, for one, is wrong for one image in channels-last."""
        gradients = []
        for layout in (torch.contiguous_format, torch.channels_last):
            method = self.method().to(memory_format=layout)
            gradients.append(gradients_of_a_step(method, self.batch()))
        for name, expected in gradients[0].items():
            if expected.ndim > 1:  # a bias that a normalisation takes away has a gradient of rounding errors
                assert (gradients[1][name] - expected).norm() <= 0.01 * expected.norm(), name

    def test_trains_in_channels_last_on_a_cpu_alone(self):
        method = self.method()
        assert method.memory_format(torch.device("cpu")) == torch.channels_last
        assert method.memory_format(torch.device("cuda")) == torch.contiguous_format

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
        assert all(tensor is None or tensor.device.type == "meta" for tensor in vars(moved).values())

    # --- translators ----------------------------------------------------------------------------------------------

    def given(self, size, images=2):
        """What `translate` is given: images in [0, 1], or label maps with a few ignored pixels."""
        random = torch.Generator().manual_seed(0)
        if self.method().takes == "image":
            return torch.rand(images, 3, *size, generator=random)
        label_map = torch.randint(0, 19, (images, *size), generator=random)
        label_map[:, 0, 0] = 255
        return label_map

    @pytest.mark.parametrize("size", [(40, 72), (35, 61), (1, 1)])
    def test_translates_any_size_in_every_direction_that_it_learns(self, size):
        method = self.method().eval()
        assert method.directions
        for direction in method.directions:
            translated = method.translate(self.given(size), direction)
            assert translated.shape == (2, 3, *size) and translated.dtype == torch.float32
            assert translated.min() >= 0 and translated.max() <= 1 and translated.isfinite().all()
            assert not translated.requires_grad

    def test_translating_changes_nothing_even_while_training(self):
        method = self.method().train()
        before = snapshot(method)
        method.translate(self.given((32, 32)), method.directions[0])
        assert not changed(before, method)
        assert method.training and all(child.training for child in trained_networks(method).values())

    def test_refuses_a_direction_that_it_does_not_learn(self):
        with pytest.raises(ValueError, match="no direction 'sideways'; the valid ones are"):
            self.method().translate(self.given((32, 32)), "sideways")

    def test_a_warm_start_takes_over_every_trained_network(self):
        """...and begins everything else anew: pools, averages, counters."""
        trained, fresh = self.method(), self.method()
        for step in range(2):
            torch.manual_seed(step)
            trained.step(self.batch(), PerformedUpdate(trained))
        state = snapshot(trained)
        fresh.start_from(state)
        now = fresh.state_dict()
        for name in trained_networks(fresh):
            own = [key for key in state if key.startswith(f"{name}.")]
            assert own and all(torch.equal(now[key], state[key]) for key in own)

    def test_a_warm_start_without_a_networks_weights_is_refused(self):
        method = self.method()
        name = next(iter(trained_networks(method)))
        rest = {key: value for key, value in method.state_dict().items() if not key.startswith(f"{name}.")}
        with pytest.raises(ValueError, match=f"{name} cannot start from these weights"):
            method.start_from(rest)


def trained_networks(method):
    """Parts of a method that an optimizer changes, by name."""
    return {n: m for n, m in method.named_children() if any(p.requires_grad for p in m.parameters())}
