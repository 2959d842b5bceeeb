"""pix2pixHD: what it is given, each term on paper, who learns in which phase, and looks that can be chosen."""

import pytest
import torch
from torch import nn

from tests.method_tester import LookOnly, PerformedUpdate, WatchedUpdate, changed, snapshot
from tests.translate.methods.translator_tester import TranslatorTester, networks_pulled
from translate.methods import METHODS
from translate.methods.batches import PairedBatch
from translate.methods.pix2pixhd import Pix2pixHD, Pix2pixHDSettings

SMALL = {
    "steps": 10,
    "generator_channels": 4,
    "halvings": 2,
    "blocks": 1,
    "enhancer_blocks": 1,
    "discriminator_channels": 2,
    "style_channels": 2,
    "style_halvings": 2,
}
COARSE_TO_FINE = {"generator": "local", "global_steps": 2, "enhancer_steps": 2}


def tiny(perceptual=None, **settings):
    torch.manual_seed(0)
    return Pix2pixHD(Pix2pixHDSettings(**SMALL | settings), perceptual)


def batch(size=(32, 48), images=2, instances=False):
    random = torch.Generator().manual_seed(0)
    label_map = torch.randint(0, 3, (images, *(side // 8 for side in size)), generator=random)
    label_map = label_map.repeat_interleave(8, 1).repeat_interleave(8, 2)
    label_map[:, 0, 0] = 255
    things = label_map * 2 + (torch.arange(size[1]) > size[1] // 2) if instances else None
    return PairedBatch(torch.rand(images, 3, *size, generator=random), label_map, things)


def train(method, steps):
    for step in range(steps):
        torch.manual_seed(step)
        method.step(batch(), PerformedUpdate(method))
    return method


class TestGlobal(TranslatorTester):
    def method(self):
        return tiny()

    def batch(self):
        return batch()


class TestCoarseToFineWithStylesAndAverage(TranslatorTester):
    def method(self):
        return tiny(**COARSE_TO_FINE, style_features=2, ema_decay=0.5, pool_size=2)

    def batch(self):
        return batch(instances=True)


def test_is_found_by_name():
    assert METHODS["pix2pixhd"] is Pix2pixHD
    assert Pix2pixHD.takes == "label_map" and Pix2pixHD.directions == ("source_to_target",)


@pytest.mark.parametrize(
    ("settings", "given", "judged"),
    [
        ({}, 21, 24),  # 19 train ids, ignored pixels, edges; and the image
        ({"edges": False}, 20, 23),
        ({"style_features": 3}, 24, 24),  # styles are not shown to the discriminators
        ({"labels": 35}, 36, 39),  # the authors' labelIds and edges
        ({"labels": 35, "edges": False}, 35, 38),
    ],
)
def test_channels(settings, given, judged):
    method = tiny(**settings)
    assert method.source_to_target.model[1].in_channels == given
    assert method.discriminator.scale0_layer0[0].in_channels == judged


def test_enhancers_have_half_the_channels_of_the_network_inside():
    with torch.device("meta"):
        method = Pix2pixHD(Pix2pixHDSettings(labels=35, generator="local"))
    generator = method.source_to_target
    assert sum(parameter.numel() for parameter in generator.parameters()) == 182_857_059


@pytest.mark.parametrize(
    ("labels", "shown"), [(19, ["layout", "fake_target", "target"]), (35, ["fake_target", "target"])]
)
def test_layouts_are_previewed_where_their_ids_have_colours(labels, shown):
    """13 is a car among train ids and a fence among Cityscapes' labelIds."""
    label_map = torch.full((1, 32, 48), 13)
    assert list(tiny(labels=labels).preview(PairedBatch(torch.rand(1, 3, 32, 48), label_map))) == shown


def likeness(fake, real):
    """Stands in for the VGG loss."""
    return (fake - real).square().mean()


@pytest.mark.parametrize(
    ("settings", "makers"),
    [
        ({}, {"source_to_target", "encoder"}),
        ({"generator": "local"}, {"source_to_target", "encoder"}),
        (COARSE_TO_FINE, {"coarse_closing", "encoder"}),  # in the first phase the enhancers are not asked
    ],
)
def test_each_term_pulls_at_the_networks_that_it_is_about(settings, makers):
    pulled = networks_pulled(tiny(likeness, style_features=2, **settings), batch())
    assert pulled.pop("discriminator") == {"discriminator"}
    assert pulled == dict.fromkeys(("adversarial", "features", "perceptual"), makers)


def test_in_the_first_phase_a_real_pixel_is_the_mean_of_four():
    method, given, seen = tiny(**COARSE_TO_FINE), batch(), []
    method.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.step(given, LookOnly(method))
    torch.testing.assert_close(seen[0][:, -3:], 2 * nn.functional.avg_pool2d(given.image, 2) - 1)


class Constant(nn.Module):
    """Stands in for the generator: the same grey everywhere."""

    side_multiple, smallest_side = 4, 8

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(float(value)))

    def forward(self, layout):
        return self.value.expand(len(layout), 3, *layout.shape[-2:])


class MeanColour(nn.Module):
    """Stands in for the discriminators: two scales that see the mean of the image, and judge it by its half."""

    def forward(self, layout_and_image):
        mean = layout_and_image[:, -3:].mean().view(1, 1)
        return [[mean, mean / 2], [mean * 3, mean / 2]]


def stand_in():
    """Real images are 0.2 in [-1, 1], fakes 0.6."""
    method = tiny(perceptual=lambda fake, real: (fake - real).abs().mean())
    method.source_to_target, method.discriminator = Constant(0.6), MeanColour()
    return method


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("adversarial", 0.98),  # 2 scales of (0.3 - 1)^2
        ("features", 32.0),  # 10 * (0.4 + 1.2) * 4 / 1 layer / 2 scales
        ("perceptual", 4.0),  # 10 * |0.6 - 0.2|
        ("discriminator", 0.9),  # 2 scales of ((0.1 - 1)^2 + 0.3^2) / 2
    ],
)
def test_terms_by_hand(term, expected):
    given = PairedBatch(torch.full((1, 3, 16, 16), 0.6), torch.zeros(1, 16, 16, dtype=torch.int64))
    method = stand_in()
    losses = method.step(given, LookOnly(method))
    assert set(losses) == {"adversarial", "features", "perceptual", "discriminator"}
    assert losses[term].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "absent"),
    [({"feature_weight": 0}, "features"), ({"perceptual_weight": 0, "perceptual": lambda *_: 1 / 0}, "perceptual")],
)
def test_terms_without_weight_are_left_out(settings, absent):
    method = tiny(**settings)
    assert absent not in method.step(batch(), LookOnly(method))


def test_generator_first_then_discriminators_and_neither_moves_the_other():
    method = tiny()
    update = WatchedUpdate(method)
    method.step(batch(), update)
    assert update.networks() == {("generator",): {"source_to_target"}, ("discriminator",): {"discriminator"}}
    assert list(update.changes) == [("generator",), ("discriminator",)]


class TestPhases:
    def learners(self, method):
        before = snapshot(method)
        method.step(batch(), PerformedUpdate(method))
        names = {".".join(name.split(".")[:2]) for name in changed(before, method)}
        return {name for name in names if name.startswith(("source_to_target", "coarse_closing"))}

    def test_global_alone_then_enhancer_alone_then_jointly(self):
        method = tiny(**COARSE_TO_FINE)
        inner, outer = "source_to_target.model", {"source_to_target.model1_1", "source_to_target.model1_2"}
        seen = []
        for _ in range(5):
            seen.append((method.phase, {name.removesuffix(".1") for name in self.learners(method)}))
        assert [phase for phase, _ in seen] == ["global", "global", "enhancer", "enhancer", "joint"]
        assert seen[0][1] == {inner, "coarse_closing"} and seen[2][1] == outer and seen[4][1] == {inner, *outer}

    def test_the_global_generator_is_trained_at_its_own_resolution(self):
        method, sizes = tiny(**COARSE_TO_FINE), []
        method.discriminator.register_forward_hook(lambda _, given, __: sizes.append(tuple(given[0].shape[-2:])))
        train(method, 3)
        assert set(sizes[:6]) == {(16, 24)} and set(sizes[6:]) == {(32, 48)}

    def test_the_pool_begins_anew_when_images_grow(self):
        method = train(tiny(**COARSE_TO_FINE, pool_size=4), 2)
        assert method.pool.images.shape[-2:] == (16, 24) and int(method.pool.count) == 4
        train(method, 1)
        assert method.pool.images.shape[-2:] == (32, 48) and int(method.pool.count) == 2


class TestStyles:
    def trained(self):
        return train(tiny(style_features=2, steps=3), 3).eval()

    def test_the_last_step_forms_clusters_of_what_was_seen(self):
        method = self.trained()
        assert method.styles.seen.tolist()[:4] == [6, 6, 6, 0] and int(method.styles.seen[19]) == 6
        assert (method.styles.found > 0).tolist() == (method.styles.seen > 0).tolist()
        assert method.styles.centres[:3].abs().sum() > 0

    def test_the_seed_chooses_the_look_and_nothing_else_does(self):
        method = self.trained()
        with torch.no_grad():  # looks far apart, and a generator that shows them
            method.styles.centres.copy_(torch.rand_like(method.styles.centres) * 2 - 1)
            method.source_to_target.model[1].weight.mul_(20)
        label_map = batch().label_map
        first = method.translate(label_map, style_seed=0)
        torch.rand(7)
        assert torch.equal(first, method.translate(label_map, style_seed=0))
        assert not torch.equal(first, method.translate(label_map, style_seed=1))
        torch.testing.assert_close(first[:1], method.translate(label_map[:1], style_seed=0))

    def test_the_encoder_learns(self):
        method = tiny(style_features=2)
        before = snapshot(method)
        train(method, 1)
        assert any(name.startswith("encoder.") for name in changed(before, method))

    def test_looks_travel_with_the_checkpoint(self):
        method, other = self.trained(), tiny(style_features=2, steps=3).eval()
        other.load_state_dict(method.state_dict())
        label_map = batch().label_map
        assert torch.equal(method.translate(label_map), other.translate(label_map))


class TestTranslate:
    @pytest.mark.parametrize("size", [(34, 66), (61, 127), (1, 1), (3, 9)])
    def test_gives_back_the_size(self, size):
        label_map = torch.randint(0, 19, (2, *size))
        translated = tiny(generator="local").translate(label_map)
        assert translated.shape == (2, 3, *size) and translated.isfinite().all()
        assert translated.min() >= 0 and translated.max() <= 1 and not translated.requires_grad

    def test_every_pixel_stays_where_its_label_was(self):
        class RoadIsWhite(Constant):
            def forward(self, layout):
                return layout[:, :1].expand(-1, 3, -1, -1) * 2 - 1

        method = tiny()
        method.source_to_target = RoadIsWhite(0)
        label_map = torch.randint(0, 2, (1, 61, 43))
        assert torch.equal(method.translate(label_map)[:, 0], (label_map == 0).float())

    def test_instances_change_the_edges_it_is_given(self):
        method, given = tiny(), batch()
        with torch.no_grad():
            method.source_to_target.model[1].weight.mul_(20)
        things = given.label_map * 1000 + torch.arange(48) // 6
        assert not torch.equal(
            method.translate(given.label_map), method.translate(given.label_map, instance_map=things)
        )

    @pytest.mark.parametrize(
        ("label_map", "message"),
        [
            (torch.full((1, 8, 8), 19), "holds 19; expected ids from 0 to 18, and 255"),
            (torch.zeros(1, 1, 8, 8), r"shape \(1, 1, 8, 8\); expected \(B, H, W\)"),
        ],
    )
    def test_refuses_what_is_no_label_map(self, label_map, message):
        with pytest.raises(ValueError, match=message):
            tiny().translate(label_map)

    def test_refuses_instances_of_another_size(self):
        with pytest.raises(ValueError, match=r"\(1, 8, 9\), the label map \(1, 8, 8\)"):
            tiny().translate(torch.zeros(1, 8, 8), instance_map=torch.zeros(1, 8, 9))

    def test_the_average_translates_if_there_is_one(self):
        method = tiny(ema_decay=0.9)
        assert method.generator() is method.average.network
        assert tiny().generator().training


def test_it_learns():
    """Two labels to two colours: what a layout says at once."""
    method = tiny(learning_rate=2e-3, halvings=1, discriminator_layers=1, scales=1)
    label_map = torch.zeros(1, 16, 16, dtype=torch.int64)
    label_map[:, :, 8:] = 1
    image = torch.stack([label_map.float() * value for value in (0.8, 0.5, 0.2)], dim=1)
    given = PairedBatch(image, label_map)
    before = (method.translate(label_map) - image).abs().mean()
    for _ in range(40):
        method.step(given, PerformedUpdate(method))
    assert (method.translate(label_map) - image).abs().mean() < 0.6 * before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"decay_fraction": 1.5}, "decay_fraction is 1.5"),
        ({"generator": "local", "global_steps": 6, "enhancer_steps": 5}, "enhancer_steps 5 do not fit into steps 10"),
        ({"global_steps": 2}, 'phases of the generator "local"; set generator to it'),
        ({"feature_weight": -1}, "feature_weight is -1"),
        ({"generator": "local", "enhancers": 0}, "enhancers is 0"),
        ({"generator": "local", "enhancers": 3}, "generator_channels is 4; with 3 enhancers.*divide by 8"),
        ({"pool_size": -1}, "pool_size is -1"),
        ({"labels": 20}, "labels is 20; the valid values are 19, 35"),
    ],
)
def test_refuses_at_construction(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny(**settings)


def test_crops_must_leave_the_style_encoder_more_than_one_pixel():
    settings = Pix2pixHDSettings(halvings=2, style_features=3, style_halvings=6)
    with pytest.raises(ValueError, match=r"crop is 64x64; .* divide by 64 and be at least 128"):
        settings.check_crop(64, 64)
    settings.check_crop(128, 128)


@pytest.mark.parametrize(("settings", "shrunk"), [({}, 1), (COARSE_TO_FINE, 2)])
def test_the_coarsest_discriminator_has_something_to_normalise(settings, shrunk):
    """In the first phase images are of the global generator's resolution."""
    for scales, side in ((4, 16), (5, 32)):
        chosen = Pix2pixHDSettings(**SMALL | settings | {"scales": scales})
        with pytest.raises(
            ValueError, match=f"coarsest of {scales} discriminators.*above {shrunk * side // 2}. Enlarge"
        ):
            chosen.check_crop(64, shrunk * side // 2)
        chosen.check_crop(64, shrunk * side)
        method = tiny(**settings, scales=scales)
        method.step(batch((shrunk * side, 64)), PerformedUpdate(method))
