"""Tiles that do not show: equal to the untiled translation, whatever the tile."""

import pytest
import torch
from torch import nn

from translate.networks import GENERATORS
from translate.networks.antialiasing import BlurredDoubling, BlurredHalving
from translate.networks.features.style_encoders import ENCODERS
from translate.networks.generators.adain import AdaINGenerator
from translate.networks.generators.pix2pixhd import GlobalGenerator
from translate.tiling import Span, chain, reach, spans, translate_tiled

LEVEL = 2 / 255


class Skipping(nn.Module):
    """A generator that is no chain: its input goes around the bottleneck."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.InstanceNorm2d(8, affine=True), nn.ReLU())
        self.outer = nn.Sequential(nn.Conv2d(8, 3, 3, padding=1), nn.InstanceNorm2d(3))

    def forward(self, image):
        return image + self.outer(self.inner(image))


def resnet(name="resnet6", seed=0):
    torch.manual_seed(seed)
    return GENERATORS[name](base_channels=4)


def picture(height=76, width=100, seed=1):
    """Smooth, brighter to the right: tiles have moments of their own."""
    torch.manual_seed(seed)
    coarse = torch.rand(1, 3, 8, 12) + torch.linspace(0, 2, 12)
    return nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 2) - 1


def untiled(generator, image):
    with torch.no_grad():
        return generator.eval()(image)


def steps_across(image, tile):
    """Mean absolute difference of neighbours across every seam between tiles."""
    down = image[..., tile::tile, :] - image[..., tile - 1 :: tile, :][..., : image[..., tile::tile, :].shape[-2], :]
    right = image[..., tile::tile] - image[..., tile - 1 :: tile][..., : image[..., tile::tile].shape[-1]]
    return torch.cat([down.abs().flatten(), right.abs().flatten()]).mean().item()


def test_cores_cover_a_side_once():
    assert spans(10, 4, 2) == [Span(0, 6, 0, 4), Span(2, 10, 4, 8), Span(6, 10, 8, 10)]


def test_places_of_a_tile():
    span = Span(start=8, stop=24, core_start=12, core_stop=20)
    assert span.seen(size=16, length=64) == slice(2, 6)  # features at a quarter of the resolution
    assert span.core(size=4) == slice(1, 3)
    assert span.core(size=1) == slice(0, 1)


def test_reach_of_two_convolutions():
    """3 pixels of the 7x7, and one of the 3x3 whose pixels lie 2 apart."""
    stage = nn.Sequential(nn.Conv2d(3, 4, 7, stride=2), nn.ReflectionPad2d(1), nn.Conv2d(4, 4, 3))
    assert reach(stage) == 5


def test_reach_through_pooling_and_doubling():
    """One pixel of the first 3x3, one of the pool's window, two of the 3x3 at half resolution, one of the last."""
    first, second, last = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
    assert reach(nn.Sequential(first, nn.MaxPool2d(2), second, nn.Upsample(scale_factor=2), last)) == 1 + 1 + 2 + 1


def test_reach_through_layers_that_do_not_alias():
    """One pixel of the halving's blur; of the doubling's two positions at half resolution; and one of the last 3x3."""
    assert reach(nn.Sequential(BlurredHalving(3), BlurredDoubling(3), nn.Conv2d(3, 3, 3, padding=1))) == 1 + 2 * 2 + 1


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_generator_that_remembers_a_style(encoder):
    """Content is normalised over the frame, whatever the tile."""
    torch.manual_seed(0)
    generator, image = AdaINGenerator(ENCODERS[encoder](None), 4, skip_connections=True), picture(128, 160)
    expected = untiled(generator, image)
    assert (translate_tiled(generator, image, 32) - expected).abs().max() < 1e-3 * expected.abs().max()


def test_finds_the_chain():
    generator = resnet()
    assert chain(generator) == list(generator.model)
    other = Skipping()
    assert chain(other) == [other]


@pytest.mark.parametrize("name", ["resnet6", "resnet9"])
@pytest.mark.parametrize("tile", [32, 50])
def test_equals_the_untiled_translation(name, tile):
    generator, image = resnet(name), picture()
    expected = untiled(generator, image)
    tiled = translate_tiled(generator, image, tile)
    assert tiled.shape == expected.shape and tiled.dtype == torch.float32
    assert (tiled - expected).abs().max() < 0.01 * LEVEL


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("resnet6", {"base_channels": 24}),
        ("resnet6", {"base_channels": 64}),
        ("resnet6", {"base_channels": 4, "antialias": True}),
        ("resnet6", {"base_channels": 20, "antialias": "halving"}),
    ],
)
def test_equals_the_untiled_translation_at_any_width(name, settings):
    """The wider, the fewer numbers lie behind the frame's padding than at a quarter of its size: no place to cut."""
    torch.manual_seed(0)
    generator, image = GENERATORS[name](**settings), picture()
    tiled = translate_tiled(generator, image, 32)
    assert (tiled - untiled(generator, image)).abs().max() < 0.01 * LEVEL


def test_equals_the_untiled_translation_from_layouts_of_the_published_width():
    torch.manual_seed(0)
    generator, image = GlobalGenerator(in_channels=3, base_channels=64, halvings=3, blocks=1), picture(64, 96)
    tiled = translate_tiled(generator, image, 32)
    assert (tiled - untiled(generator, image)).abs().max() < 0.01 * LEVEL


def test_seams_are_no_steeper_than_the_rest():
    """The criterion: across seams within 5% of the same pixels untiled, which are no steeper than the interior."""
    generator, image = resnet("resnet9"), picture()
    expected, tiled = untiled(generator, image), translate_tiled(generator, image, 32)
    assert steps_across(tiled, 32) == pytest.approx(steps_across(expected, 32), rel=0.05)
    interior = [steps_across(expected[..., shift:, shift:], 32) for shift in (4, 8, 12, 16, 20, 24)]
    assert min(interior) * 0.95 < steps_across(tiled, 32) < max(interior) * 1.05


def test_own_moments_would_show():
    """What the test above guards against: tiles that are normalised by themselves."""
    generator, image = resnet("resnet9"), picture(96, 160)
    expected = untiled(generator, image)
    with torch.no_grad():
        naive = torch.cat([generator(image[..., left : left + 32]) for left in range(0, 160, 32)], dim=-1)
    assert (naive - expected).abs().mean() > 5 * LEVEL


def test_a_network_that_is_no_chain():
    generator, image = Skipping(), picture(61, 75)
    nn.init.normal_(generator.inner[1].weight)
    nn.init.normal_(generator.inner[1].bias)
    assert (translate_tiled(generator, image, 16) - untiled(generator, image)).abs().max() < 1e-5


def test_images_of_a_batch_stay_apart():
    generator = resnet()
    images = torch.cat([picture(seed=1), picture(seed=2)])
    together = translate_tiled(generator, images, 64)
    assert (together[1:] - translate_tiled(generator, images[1:], 64)).abs().max() < 1e-4


def test_sizes_that_do_not_divide():
    image = picture(61, 127)
    padded = nn.functional.pad(image, (0, 1, 0, 3), mode="reflect")
    generator = resnet()
    tiled = translate_tiled(generator, image, 40)
    assert tiled.shape == image.shape
    assert (tiled - untiled(generator, padded)[..., :61, :127]).abs().max() < 0.01 * LEVEL


def test_too_little_overlap_is_feathered():
    """Not the untiled result any more, but no edge either."""
    generator, image = resnet("resnet9"), picture()
    expected, tiled = untiled(generator, image), translate_tiled(generator, image, 32, overlap=4)
    assert (tiled - expected).abs().mean() > 0
    assert steps_across(tiled, 32) < 1.25 * steps_across(expected, 32)


def test_a_frame_in_one_tile_is_translated_whole():
    generator, image = resnet(), picture(64, 64)
    assert torch.equal(translate_tiled(generator, image, 64), untiled(generator, image))


def test_leaves_the_generator_as_it_was():
    generator = resnet().train()
    before, state = list(generator.modules()), {k: v.clone() for k, v in generator.state_dict().items()}
    translate_tiled(generator, picture(), 64)
    assert list(generator.modules()) == before
    assert generator.training and all(module.training for module in generator.modules())
    assert all(torch.equal(value, state[key]) for key, value in generator.state_dict().items())


def test_restores_after_a_failure():
    generator = resnet()
    before = list(generator.modules())
    with pytest.raises(RuntimeError):
        translate_tiled(generator, torch.zeros(1, 5, 100, 100), 32)
    assert list(generator.modules()) == before


def test_features_seen_at_once_are_bounded_by_the_tile():
    generator, largest = resnet(), 0

    def note(module, inputs, output):
        nonlocal largest
        largest = max(largest, output.numel())

    for module in generator.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    translate_tiled(generator, picture(128, 192), 32)
    assert largest <= 4 * (32 + 2 * 24) ** 2


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (32, -1)])
def test_refuses_what_is_no_tile(tile, overlap):
    with pytest.raises(ValueError, match="at least 1 and no negative overlap"):
        translate_tiled(resnet(), picture(), tile, overlap)
