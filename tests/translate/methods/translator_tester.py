"""What every translation method must do beyond what all methods do; a new one's test subclasses `TranslatorTester`."""

import pytest
import torch

from tests.method_tester import LookOnly, MethodTester, PerformedUpdate, changed, snapshot


class TranslatorTester(MethodTester):
    """A subclass builds a small method, always with the same weights, and a batch for it."""

    def test_trains_in_channels_last_on_a_cpu_alone(self):
        method = self.method()
        assert method.memory_format(torch.device("cpu")) == torch.channels_last
        assert method.memory_format(torch.device("cuda")) == torch.contiguous_format

    def test_the_rate_starts_in_full(self):
        assert self.method().learning_rate_scale(0) == 1.0

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
        names = tuple(f"{name}." for name in fresh.taken_over())
        assert all(key.startswith(names) for key, one in fresh.named_parameters() if one.requires_grad)
        for name in fresh.taken_over():
            own = [key for key in state if key.startswith(f"{name}.")]
            assert own and all(torch.equal(now[key], state[key]) for key in own)

    def test_a_warm_start_without_a_networks_weights_is_refused(self):
        method = self.method()
        name = next(iter(method.taken_over()))
        rest = {key: value for key, value in method.state_dict().items() if not key.startswith(f"{name}.")}
        with pytest.raises(ValueError, match=f"{name} cannot start from these weights"):
            method.start_from(rest)

    def test_a_warm_start_says_which_networks_it_found_nothing_of(self):
        """...as of a term that the other was trained without; a part of one is no network."""
        method, trained = self.method(), self.method()
        others = [name for name in method.taken_over() if name.split(".")[0] not in method.directions]
        assert trained.start_from(method.state_dict()) == ()
        for name in others:
            state, before = method.state_dict(), snapshot(trained)
            without = {key: value for key, value in state.items() if not key.startswith(f"{name}.")}
            assert trained.start_from(without) == (name,)
            assert not any(key.startswith(f"{name}.") for key in changed(before, trained))
            first = next(key for key in state if key.startswith(f"{name}."))
            with pytest.raises(ValueError, match=f"{name} cannot start from these weights"):
                method.start_from(without | {first: state[first]})

    def test_what_translates_is_filled_from_the_saved_state_alone(self):
        """...by its prefixes there, with nothing else built, and translates as the method does."""
        method = self.method()
        for step in range(2):
            torch.manual_seed(step)
            method.step(self.batch(), PerformedUpdate(method))
        opened, kept = method.translator(method.settings).eval(), method.kept(method.settings)
        assert {name for name, _ in opened.named_children()} == set(kept)
        state = snapshot(method)
        for part, prefix in kept.items():
            own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
            opened.get_submodule(part).load_state_dict(own, strict=True)
        assert opened.directions == method.directions and opened.takes == method.takes
        for direction in method.directions:
            translated = method.eval().translate(self.given((32, 32)), direction)
            assert torch.equal(opened.translate(self.given((32, 32)), direction), translated)


def networks_pulled(method, batch):
    """The networks whose last weights each term of a step pulls at: names by term. Nothing is learnt."""
    update = _Watched(method)
    method.step(batch, update)
    return update.pulled


class _Watched(LookOnly):
    def __init__(self, method):
        super().__init__(method)
        self.last = {
            name: [weight for weight in network.parameters() if weight.ndim > 1][-1]
            for name, network in trained_networks(method).items()
        }
        self.pulled = {}

    def backward(self, losses):
        for term, loss in losses.items():
            found = torch.autograd.grad(loss, [*self.last.values()], retain_graph=True, allow_unused=True)
            self.pulled[term] = {
                name for name, one in zip(self.last, found, strict=True) if one is not None and one.any()
            }
        return super().backward(losses)


def trained_networks(method):
    """Parts of a method that an optimizer changes, by name."""
    return {n: m for n, m in method.named_children() if any(p.requires_grad for p in m.parameters())}
