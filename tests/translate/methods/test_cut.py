"""CUT and FastCUT: each term, who learns in which half of the step, what patches are compared by, one direction."""

import math

import pytest
import torch
from torch import nn

from tests.method_tester import LookOnly, PerformedUpdate, WatchedUpdate
from tests.translate.methods.translator_tester import TranslatorTester, networks_pulled
from translate.methods import METHODS
from translate.methods.batches import UnpairedBatch
from translate.methods.cut import CUT, CUTSettings
from translate.networks import GENERATORS
from translate.networks.antialiasing import BlurredHalving

FAST = {"contrast_weight": 10.0, "contrast_identity": False, "flip_equivariance": True}


def tiny(**settings):
    torch.manual_seed(0)
    small = {"steps": 10, "generator": "resnet6", "generator_channels": 2, "discriminator_channels": 2}
    return CUT(CUTSettings(**small | {"patches": 16, "projection_features": 8} | settings))


def batch(size=(32, 40), images=1):
    source, target = torch.rand(2, images, 3, *size, generator=torch.Generator().manual_seed(0))
    return UnpairedBatch(source=source, target=target)


class TestCUT(TranslatorTester):
    def method(self):
        return tiny()

    def batch(self):
        return batch()


class TestFastCUT(TranslatorTester):
    def method(self):
        return tiny(**FAST)

    def batch(self):
        return batch()


class TestLightCUT(TranslatorTester):
    def method(self):
        return tiny(generator="unet_light", antialias=False)

    def batch(self):
        return batch()


class TestPyramidCUT(TranslatorTester):
    def method(self):
        return tiny(generator="pyramid", antialias=False, generator_channels=4)

    def batch(self):
        return batch()


class TestCUTWithThePublishedDiscriminator(TranslatorTester):
    def method(self):
        return tiny(antialias_discriminator=True)

    def batch(self):
        return batch()


class TestAveragedCUT(TranslatorTester):
    def method(self):
        return tiny(ema_decay=0.9)

    def batch(self):
        return batch()


def test_is_found_by_name():
    assert METHODS["cut"] is CUT


def test_has_the_authors_number_of_parameters():
    method = CUT(CUTSettings(steps=1))
    assert sum(one.numel() for one in method.source_to_target.parameters()) == 11_378_179
    assert sum(one.numel() for one in method.target_discriminator.parameters()) == 2_764_737
    assert sum(one.numel() for one in method.projection.parameters()) == 560_384
    assert method.layers == (0, 4, 8, 12, 16)


def test_the_discriminator_blurs_where_it_is_told_to():
    blurs = [
        sum(isinstance(layer, BlurredHalving) for layer in tiny(**settings).target_discriminator.modules())
        for settings in ({}, {"antialias_discriminator": True}, {"antialias": False, "antialias_discriminator": True})
    ]
    assert blurs == [0, 3, 3]
    with pytest.raises(ValueError, match="antialias_discriminator is for the discriminator patch; it is pixel"):
        CUTSettings(antialias_discriminator=True, discriminator="pixel")


@pytest.mark.parametrize("generator", ["resnet6", "resnet9"])
@pytest.mark.parametrize(("antialias", "layers"), [(True, (0, 4, 8, 12, 16)), (False, (0, 4, 7, 10, 14))])
def test_layers_follow_from_the_generator(generator, antialias, layers):
    network = GENERATORS[generator](base_channels=2, antialias=antialias)
    found = network.compared_layers()
    assert tuple(found) == layers
    assert tuple(found.values()) == (3, 4, 8, 8, 8)
    maps = network.features(torch.zeros(1, 3, 16, 16), tuple(found))
    assert [one.shape[1] for one in maps] == [3, 4, 8, 8, 8]


PARTS = ("target_discriminator", "projection", "source_to_target")


class TestStep:
    @pytest.mark.parametrize("mirrored", [0.0, 1.0])
    def test_each_term_pulls_at_the_networks_that_it_is_about(self, mirrored, monkeypatch):
        """Patches are compared by the generator's encoder, and are to be drawn accordingly by all of it."""
        method, given = tiny(flip_equivariance=True), batch()
        monkeypatch.setattr(torch, "rand", lambda size: torch.tensor(1 - mirrored))
        pulled = networks_pulled(method, given)
        assert pulled == {
            "discriminator": {"target_discriminator"},
            "adversarial": {"source_to_target"},
            "contrast": {"source_to_target", "projection"},
            "contrast_identity": {"source_to_target", "projection"},
        }

    def test_discriminator_first_then_generator(self):
        method = tiny()
        update = PerformedUpdate(method)
        method.step(batch(), update)
        assert [name for name, _ in update.calls] == ["discriminator", "generator"]

    @pytest.mark.parametrize(
        ("half", "learners"),
        [("discriminator", {"target_discriminator"}), ("generator", {"source_to_target", "projection"})],
    )
    def test_each_half_changes_its_own_networks_only(self, half, learners):
        method = tiny()
        update = WatchedUpdate(method)
        method.step(batch(), update)
        assert update.networks()[half,] == learners

    def test_discriminator_keeps_no_gradient_of_the_generators_half(self):
        method, found = tiny(), {}

        class Watched(PerformedUpdate):
            def step(self, *optimizers):
                if optimizers == ("generator",):
                    found.update({name: parameter.grad for name, parameter in method.named_parameters()})
                super().step(*optimizers)

        method.step(batch(), Watched(method))
        of = {part: [g for name, g in found.items() if name.startswith(part)] for part in PARTS}
        assert all(gradient is None for gradient in of["target_discriminator"])
        assert all(gradient is not None for gradient in of["projection"])
        assert any(gradient.abs().sum() > 0 for gradient in of["source_to_target"])

    @pytest.mark.parametrize(
        ("settings", "expected"),
        [({}, {"adversarial", "contrast", "contrast_identity", "discriminator"}),
         (FAST, {"adversarial", "contrast", "discriminator"})],
    )  # fmt: skip
    def test_logs_every_term_of_the_objective(self, settings, expected):
        assert set((method := tiny(**settings)).step(batch(), PerformedUpdate(method))) == expected

    def test_fast_translates_half_as_many_images(self):
        seen = []
        for settings in ({}, FAST | {"flip_equivariance": False}):
            method = tiny(**settings)
            method.source_to_target.model[1].register_forward_hook(lambda _, inputs, out: seen.append(len(out)))
            method.step(batch(), LookOnly(method))
        assert seen == [2, 2, 1, 1]  # translated and encoded: source with target, then source alone

    def test_mirrored_in_half_of_the_steps(self):
        method, given = tiny(**FAST), batch((24, 24))
        mirrored = 0
        seen = []
        method.source_to_target.model[1].register_forward_hook(lambda _, inputs, out: seen.append(out))
        for seed in range(20):
            seen.clear()
            torch.manual_seed(seed)
            method.step(given, LookOnly(method))
            mirrored += len(seen) == 3  # encoded as it is, translated mirrored, and the translation encoded
        assert 4 <= mirrored <= 16

    def test_half_precision(self):
        method = tiny()
        with torch.autocast("cpu", torch.bfloat16):
            losses = method.step(batch(), PerformedUpdate(method))
        assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())

    def test_it_learns(self):
        method = tiny(learning_rate=2e-3, generator_channels=4, antialias=False)
        history = [method.step(batch(), PerformedUpdate(method)) for _ in range(25)]
        first, last = (losses["contrast"] + losses["contrast_identity"] for losses in (history[0], history[-1]))
        assert last < 0.8 * first


class Constant(nn.Module):
    """Stands in for the discriminator: judges all alike."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, image):
        return self.value.expand(len(image), 1, 2, 2)


class Blind(nn.Module):
    """Stands in for the projection: sees the same in every patch."""

    def forward(self, maps, locations):
        return [
            torch.tensor([1.0, 0.0]).expand(len(one), len(chosen), 2)
            for one, chosen in zip(maps, locations, strict=True)
        ]


@pytest.mark.parametrize(
    ("settings", "term", "expected"),
    [
        ({}, "adversarial", 0.49),  # (0.3 - 1)^2
        ({}, "discriminator", 0.29),  # (0.49 + 0.3^2) / 2
        ({}, "contrast", 0.5 * math.log(16)),  # 16 patches, none told apart, in every layer; half, as there are two
        ({}, "contrast_identity", 0.5 * math.log(16)),
        ({"contrast_weight": 3.0}, "contrast", 1.5 * math.log(16)),
        (FAST, "contrast", 10 * math.log(16)),
        ({"gan_loss": "hinge"}, "adversarial", -0.3),
        ({"gan_loss": "hinge"}, "discriminator", 1.0),  # (1 - 0.3 + 1 + 0.3) / 2
    ],
)
def test_terms_by_hand(settings, term, expected):
    method = tiny(**settings)
    method.target_discriminator, method.projection = Constant(0.3), Blind()
    losses = method.step(batch((32, 32)), LookOnly(method))
    assert losses[term].item() == pytest.approx(expected, rel=1e-5)


def test_keys_are_constants_and_queries_are_not():
    method = tiny()
    originals, translated = (torch.rand(1, 3, 16, 16, requires_grad=True) for _ in range(2))
    keys = method.source_to_target.features(originals, method.layers)
    sum(method.contrast_losses(translated, keys, 1).values()).backward()
    assert originals.grad is None
    assert translated.grad.abs().sum() > 0


def test_features_of_the_pass_that_translates_are_those_of_an_encoding():
    method, images = tiny(), torch.rand(2, 3, 16, 24) * 2 - 1
    translated, keys = method._translate(images, mirrored=False)
    torch.testing.assert_close(translated, method.source_to_target(images))
    for one, other in zip(keys, method.source_to_target.features(images, method.layers), strict=True):
        torch.testing.assert_close(one, other)
        assert not one.requires_grad


def test_mirrored_queries_are_compared_place_by_place():
    """A pointwise generator commutes with mirroring, so that the loss is the same with and without."""
    losses = []
    for mirrored in (False, True):
        method = tiny(**FAST, patches=10_000)
        image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
        method.source_to_target.features = lambda given, layers: [given * 2]
        torch.manual_seed(2)
        method.projection = type(method.projection)((3,), 8)
        given = image.flip(3) if mirrored else image
        losses.append(method.contrast_losses(given, [image * 2], 1, mirrored)["contrast"].item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


class TestTranslate:
    @pytest.mark.parametrize("size", [(34, 66), (61, 127), (1, 1)])
    @pytest.mark.parametrize("antialias", [True, False])
    def test_gives_back_the_size(self, size, antialias):
        image = torch.rand(2, 3, *size)
        translated = tiny(antialias=antialias).translate(image)
        assert translated.shape == image.shape and translated.isfinite().all()
        assert translated.min() >= 0 and translated.max() <= 1 and not translated.requires_grad

    def test_knows_one_direction(self):
        with pytest.raises(ValueError, match="'target_to_source'; the valid ones are source_to_target"):
            tiny().translate(torch.zeros(1, 3, 8, 8), "target_to_source")

    def test_uses_the_average(self):
        method = tiny(ema_decay=0.5)
        for _ in range(2):
            method.step(batch(), PerformedUpdate(method))
        assert method.generator() is method.average.network
        weight = next(method.source_to_target.parameters())
        assert not torch.equal(next(method.generator().parameters()), weight)


def test_starts_from_another():
    learnt, fresh = tiny(ema_decay=0.9), tiny(ema_decay=0.9)
    learnt.step(batch(), PerformedUpdate(learnt))
    fresh.start_from(learnt.state_dict())
    assert all(
        torch.equal(value, learnt.state_dict()[key])
        for key, value in fresh.state_dict().items()
        if not key.startswith("average.")
    )
    torch.testing.assert_close(
        list(fresh.average.network.parameters()), list(fresh.source_to_target.parameters()), check_stride=False
    )


def test_preview_shows_both_domains():
    assert list(tiny().preview(batch())) == ["source", "fake_target", "target", "same_target"]


def test_second_half_decays():
    method = tiny(steps=200)
    assert method.learning_rate_scale(99) == 1.0
    assert method.learning_rate_scale(199) == pytest.approx(1 / 101)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"decay_fraction": 1.5}, "decay_fraction is 1.5"),
        ({"contrast_weight": -1}, "contrast_weight is -1"),
        ({"temperature": 0}, "temperature is 0; it must be above 0"),
        ({"patches": 1}, "patches is 1"),
        ({"generator": "resnet5"}, "no network 'resnet5'"),
        ({"generator": "unet128", "antialias": False}, "no network 'unet128'; the valid names are pyramid, resnet6"),
        ({"discriminator": "none"}, "no network 'none'"),
        ({"schedule": "none"}, "no schedule 'none'; the valid names are constant, cosine, linear, step"),
        ({"gan_loss": "none"}, "no GAN loss 'none'; the valid names are hinge"),
    ],
)
def test_refuses_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny(**settings)
