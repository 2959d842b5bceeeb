"""CycleGAN: each term on paper, who learns in which half of the step, and images of any size."""

import pytest
import torch
from torch import nn

from tests.method_tester import LookOnly, PerformedUpdate, WatchedUpdate
from tests.translate.methods.translator_tester import TranslatorTester, networks_pulled
from translate.methods import METHODS
from translate.methods.batches import UnpairedBatch
from translate.methods.cyclegan import CycleGAN, CycleGANSettings

GENERATORS = ("source_to_target.", "target_to_source.")
DISCRIMINATORS = ("target_discriminator.", "source_discriminator.")
POOLS = ("fake_target_pool.", "fake_source_pool.")


def tiny(**settings):
    torch.manual_seed(0)
    small = {"steps": 10, "generator": "resnet6", "generator_channels": 2, "discriminator_channels": 2, "pool_size": 2}
    return CycleGAN(CycleGANSettings(**small | settings))


def batch(size=(32, 40), images=1):
    source, target = torch.rand(2, images, 3, *size, generator=torch.Generator().manual_seed(0))
    return UnpairedBatch(source=source, target=target)


class TestCycleGAN(TranslatorTester):
    def method(self):
        return tiny()

    def batch(self):
        return batch()


def test_is_found_by_name():
    assert METHODS["cyclegan"] is CycleGAN


def test_has_the_authors_number_of_parameters():
    method = CycleGAN(CycleGANSettings(steps=1))
    trained = sum(
        parameter.numel()
        for optimizer in method.optimizers().values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    )
    assert trained == 28_285_832  # 2 x 11,378,179 + 2 x 2,764,737


class TestStep:
    def test_generators_first_then_discriminators(self):
        method = tiny()
        update = PerformedUpdate(method)
        method.step(batch(), update)
        assert [name for name, _ in update.calls] == ["generators", "discriminators"]

    @pytest.mark.parametrize(("half", "learners"), [("generators", GENERATORS), ("discriminators", DISCRIMINATORS)])
    def test_each_half_changes_its_own_networks_only(self, half, learners):
        method = tiny()
        update = WatchedUpdate(method)
        method.step(batch(), update)
        changes = update.changes[half,]
        assert all(name.startswith(learners) for name in changes)
        assert {name.split(".")[0] + "." for name in changes} == set(learners)

    def test_discriminators_keep_no_gradient_of_the_generators_half(self):
        method, judged = tiny(), []

        class Watched(PerformedUpdate):
            def step(self, *optimizers):
                if optimizers == ("generators",):
                    judged.extend(parameter.grad for parameter in judges)
                    assert any(parameter.grad is not None for parameter in method.source_to_target.parameters())
                super().step(*optimizers)

        judges = [*method.target_discriminator.parameters(), *method.source_discriminator.parameters()]
        method.step(batch(), Watched(method))
        assert judged and all(gradient is None for gradient in judged)
        assert all(parameter.requires_grad for parameter in judges)

    def test_each_direction_is_back_propagated_before_the_next_is_translated(self):
        """Half the memory: one graph at a time."""
        method, events = tiny(), []
        method.source_to_target.register_forward_hook(lambda *_: events.append("there"))
        method.target_to_source.register_forward_hook(lambda *_: events.append("back"))

        class Watched(PerformedUpdate):
            def backward(self, losses):
                events.append(sorted(losses))
                return super().backward(losses)

        method.step(batch(), Watched(method))
        assert events[:2] == ["there", "back"] and events[3:5] == ["back", "there"]
        assert events[2] == ["adversarial_target", "cycle_source", "identity_target"]
        assert events[5] == ["adversarial_source", "cycle_target", "identity_source"]

    def test_two_parts_give_the_gradient_of_the_whole(self):
        whole, parts = tiny(), tiny()
        given = batch()
        for method in (whole, parts):
            method.zero_grad()
        directions = [("source", "target"), ("target", "source")]
        sum(sum(whole.generator_losses(given, *one)[0].values()) for one in directions).backward()
        for one in directions:
            sum(parts.generator_losses(given, *one)[0].values()).backward()
        for name, parameter in whole.source_to_target.named_parameters():
            torch.testing.assert_close(parts.source_to_target.get_parameter(name).grad, parameter.grad)

    def test_each_generator_learns_from_its_discriminator(self):
        method = tiny()
        fake_source, fake_target = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
        (method.adversarial("source", fake_source) + method.adversarial("target", fake_target)).backward()
        assert fake_source.grad.abs().sum() > 0 and fake_target.grad.abs().sum() > 0

    def test_each_term_pulls_at_the_networks_that_it_is_about(self):
        """What comes back is a matter of both generators."""
        pulled = networks_pulled(tiny(), batch())
        for domain, other in (("source", "target"), ("target", "source")):
            there, back = f"{domain}_to_{other}", f"{other}_to_{domain}"
            assert pulled[f"adversarial_{other}"] == pulled[f"identity_{other}"] == {there}
            assert pulled[f"cycle_{domain}"] == {there, back}
            assert pulled[f"discriminator_{domain}"] == {f"{domain}_discriminator"}

    def test_logs_every_term_of_the_objective(self):
        method = tiny()
        kinds = ("adversarial", "cycle", "identity", "discriminator")
        expected = {f"{kind}_{domain}" for kind in kinds for domain in ("source", "target")}
        assert set(method.step(batch(), PerformedUpdate(method))) == expected

    def test_without_identity_weight_there_is_no_identity_pass(self):
        method = tiny(identity_weight=0)
        seen = []
        method.source_to_target.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
        losses = method.step(batch(), PerformedUpdate(method))
        assert "identity_source" not in losses and "identity_target" not in losses
        assert seen == [1, 1]  # one fake, one cycled image

    def test_pools_remember_the_fakes(self):
        method = tiny()
        method.step(batch(images=2), PerformedUpdate(method))
        assert int(method.fake_target_pool.count) == int(method.fake_source_pool.count) == 2

    def test_it_learns(self):
        """A horizontal ramp to a vertical one and back: smooth enough for four channels."""
        method = tiny(learning_rate=2e-3, generator_channels=4)
        ramp = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
        ramps = UnpairedBatch(source=ramp, target=ramp.mT)
        history = [method.step(ramps, PerformedUpdate(method)) for _ in range(25)]
        first, last = (losses["cycle_source"] + losses["cycle_target"] for losses in (history[0], history[-1]))
        assert last < 0.6 * first


class Constant(nn.Module):
    """Stands in for a network: adds a number to images, or judges all alike."""

    side_multiple, smallest_side = 4, 8

    def __init__(self, value, adds):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))
        self.adds = adds

    def forward(self, image):
        return image + self.value if self.adds else self.value.expand(len(image), 1, 2, 2)


def stand_in():
    """A method whose generators add 0.1 and 0.2 and whose judges say 0.3 (target) and 0.6 (source)."""
    method = tiny(cycle_weight=10, identity_weight=0.5)
    method.source_to_target, method.target_to_source = Constant(0.1, adds=True), Constant(0.2, adds=True)
    method.target_discriminator, method.source_discriminator = Constant(0.3, adds=False), Constant(0.6, adds=False)
    return method


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("adversarial_target", 0.49),  # (0.3 - 1)^2
        ("adversarial_source", 0.16),  # (0.6 - 1)^2
        ("cycle_source", 3.0),  # 10 * |x + 0.1 + 0.2 - x|
        ("cycle_target", 3.0),
        ("identity_target", 0.5),  # 10 * 0.5 * 0.1: the generator towards target, given target
        ("identity_source", 1.0),  # 10 * 0.5 * 0.2
        ("discriminator_target", 0.29),  # (0.49 + 0.3^2) / 2
        ("discriminator_source", 0.26),  # (0.16 + 0.6^2) / 2
    ],
)
def test_terms_by_hand(term, expected):
    method = stand_in()
    losses = method.step(batch(), LookOnly(method))
    assert losses[term].item() == pytest.approx(expected, rel=1e-5)


def test_discriminators_see_real_images_of_their_own_domain():
    method = stand_in()
    seen = {"source": [], "target": []}
    method.source_discriminator.register_forward_hook(lambda _, inputs, __: seen["source"].append(inputs[0]))
    method.target_discriminator.register_forward_hook(lambda _, inputs, __: seen["target"].append(inputs[0]))
    given = batch()
    method.step(given, LookOnly(method))
    source, target = given.source * 2 - 1, given.target * 2 - 1
    for_generators, real, fake = seen["target"]
    torch.testing.assert_close(for_generators, source + 0.1)
    torch.testing.assert_close(real, target)
    torch.testing.assert_close(fake, source + 0.1)
    for_generators, real, fake = seen["source"]
    torch.testing.assert_close(for_generators, target + 0.2)
    torch.testing.assert_close(real, source)
    torch.testing.assert_close(fake, target + 0.2)


def test_preview_shows_both_ways_there_and_back():
    pictures = tiny().preview(batch())
    assert list(pictures) == ["source", "fake_target", "cycled_source", "target", "fake_source", "cycled_target"]


class TestTranslate:
    @pytest.mark.parametrize("size", [(34, 66), (61, 127), (64, 64), (1, 1), (3, 9)])
    @pytest.mark.parametrize("direction", ["source_to_target", "target_to_source"])
    def test_gives_back_the_size(self, size, direction):
        image = torch.rand(2, 3, *size)
        translated = tiny().translate(image, direction)
        assert translated.shape == image.shape
        assert translated.min() >= 0 and translated.max() <= 1
        assert translated.isfinite().all()
        assert not translated.requires_grad

    def test_every_pixel_stays_where_it_was(self):
        image = torch.rand(1, 3, 61, 127) / 2
        # Adding 0.1 in [-1, 1] is adding 0.05 in [0, 1].
        torch.testing.assert_close(stand_in().translate(image), image + 0.05)

    def test_directions_are_two_networks(self):
        method, image = stand_in(), torch.full((1, 3, 8, 8), 0.5)
        assert method.translate(image, "source_to_target").mean().item() == pytest.approx(0.55)
        assert method.translate(image, "target_to_source").mean().item() == pytest.approx(0.6)

    def test_refuses_another_direction(self):
        with pytest.raises(ValueError, match="'AtoB'; the valid ones are source_to_target, target_to_source"):
            tiny().translate(torch.zeros(1, 3, 8, 8), "AtoB")


class TestSchedule:
    def test_second_half_decays(self):
        method = tiny(steps=200)
        assert method.learning_rate_scale(99) == 1.0
        assert method.learning_rate_scale(100) == pytest.approx(100 / 101)
        assert method.learning_rate_scale(199) == pytest.approx(1 / 101)

    def test_without_decay_the_rate_is_constant(self):
        method = tiny(steps=200, decay_fraction=0)
        assert {method.learning_rate_scale(step) for step in range(200)} == {1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"decay_fraction": 1.5}, "decay_fraction is 1.5"),
        ({"cycle_weight": 0}, "cycle_weight is 0; it must be above 0"),
        ({"identity_weight": -1}, "identity_weight is -1; it must be at least 0"),
        ({"generator": "unet"}, "no network 'unet'"),
        ({"generator": "unet128", "antialias": True}, "antialias is for resnet6 and resnet9"),
        ({"discriminator_layers": 7}, "discriminator_layers is 7; it must be at most 6"),
        ({"discriminator": "voxel"}, "no network 'voxel'"),
        ({"gan_loss": "wgangp"}, "no GAN loss 'wgangp'; the valid names are hinge, least_squares, vanilla"),
        ({"schedule": "plateau"}, "no schedule 'plateau'; the valid names are constant, cosine, linear, step"),
        ({"norm": "layer"}, "norm is 'layer'; the valid values are instance, batch"),
        ({"initialisation": "zeros"}, "no initialisation 'zeros'"),
        ({"pool_size": -1}, "pool_size is -1"),
    ],
)
def test_refuses_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny(**settings)


class TestAverages:
    def test_follow_the_generators_and_translate(self):
        method, plain = tiny(ema_decay=0.5), tiny()
        image = torch.rand(1, 3, 16, 16)
        assert torch.equal(method.translate(image), plain.translate(image))  # they begin where the generators are
        for one in (method, plain):
            one.step(batch(), PerformedUpdate(one))
        assert torch.equal(method.source_to_target(image), plain.source_to_target(image))
        for direction in method.directions:
            average = method.averages[direction].network
            assert method.generator(direction) is average
            assert not torch.equal(method.translate(image, direction), plain.translate(image, direction))

    def test_worked_out_by_hand(self):
        """The first update moves by 1 - min(0.5, 1/10) = 0.9 of the way."""
        method = tiny(ema_decay=0.5)
        name = "model.1.weight"
        before = method.averages["target_to_source"].network.state_dict()[name].clone()
        method.step(batch(), PerformedUpdate(method))
        now = method.target_to_source.state_dict()[name]
        average = method.averages["target_to_source"].network.state_dict()[name]
        torch.testing.assert_close(average, 0.1 * before + 0.9 * now)

    def test_previews_show_what_translates(self):
        method = tiny(ema_decay=0.5)
        method.step(batch(), PerformedUpdate(method))
        given = batch()
        torch.testing.assert_close(method.preview(given)["fake_target"], method.translate(given.source))

    def test_begin_anew_at_a_warm_start(self):
        trained, method = tiny(), tiny(ema_decay=0.9)
        trained.step(batch(), PerformedUpdate(trained))
        method.start_from(trained.state_dict())
        image = torch.rand(1, 3, 16, 16)
        assert torch.equal(method.translate(image), trained.translate(image))
        assert int(method.averages["source_to_target"].updates) == 0


class TestAveragedCycleGAN(TranslatorTester):
    def method(self):
        return tiny(ema_decay=0.5)

    def batch(self):
        return batch()


class TestCycleGANWithBatchNorm(TranslatorTester):
    """Statistics depend on what is in a batch: domains go through the generators apart, previews leave no trace."""

    def method(self):
        return tiny(norm="batch", gan_loss="hinge", discriminator="pixel", initialisation="xavier", schedule="cosine")

    def batch(self):
        return batch(images=2)

    def test_images_of_two_domains_are_never_normalised_together(self):
        method, seen = self.method(), []
        method.source_to_target.register_forward_hook(lambda _, inputs, output: seen.append(len(output)))
        method.step(self.batch(), PerformedUpdate(method))
        assert seen == [2, 2, 2]  # translated, kept, cycled


class TestAntialiasedCycleGAN(TranslatorTester):
    def method(self):
        return tiny(antialias=True)

    def batch(self):
        return batch()

    def test_no_generator_halves_or_doubles_by_a_convolution(self):
        generator = self.method().source_to_target
        assert {m.stride for m in generator.modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
        assert not any(isinstance(m, nn.ConvTranspose2d) for m in generator.modules())


class TestCycleGANWithUnet(TranslatorTester):
    def method(self):
        return tiny(generator="unet128", generator_channels=1, gan_loss="vanilla", discriminator_layers=1)

    def batch(self):
        return batch(size=(128, 128))


@pytest.mark.parametrize(("gan_loss", "expected"), [("least_squares", 0.09), ("hinge", -0.7), ("vanilla", 0.4032)])
def test_the_adversarial_loss_is_the_one_asked_for(gan_loss, expected):
    """A judgement of 0.7: (0.7 - 1)^2 = 0.09; -0.7; log(1 + exp(-0.7)) = 0.4032."""
    method = tiny(gan_loss=gan_loss)
    method.target_discriminator = method.source_discriminator = Constant(0.7, adds=False)
    fakes = torch.zeros(1, 3, 8, 8)
    for domain in ("source", "target"):
        assert method.adversarial(domain, fakes).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("schedule", "last"), [("linear", 1 / 101), ("step", 0.1), ("constant", 1.0)])
def test_the_learning_rate_follows_the_schedule_asked_for(schedule, last):
    method = tiny(steps=200, schedule=schedule)
    assert method.learning_rate_scale(99) == 1.0
    assert method.learning_rate_scale(199) == pytest.approx(last)


def test_counts_its_steps():
    method = tiny()
    for _ in range(3):
        method.step(batch(), PerformedUpdate(method))
    assert int(method.steps_taken) == 3
