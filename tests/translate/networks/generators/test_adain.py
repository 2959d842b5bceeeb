"""The generator of AdaIN: statistics exchanged by hand, the paper's decoder, the style that it remembers."""

import pytest
import torch

from translate.channel_statistics import channel_statistics
from translate.networks.features.style_encoders import efficientnet_lite0, vgg19
from translate.networks.generators.adain import REMEMBERED, AdaINGenerator, Decoder


def generator(**settings):
    torch.manual_seed(0)
    return AdaINGenerator(efficientnet_lite0(), base_channels=2, **settings)


def random(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("skip_connections", [False, True])
def test_adapted_features_have_the_styles_statistics(skip_connections):
    network = generator(skip_connections=skip_connections)
    maps = [3 * random(2, 16, 16, 24) - 1, random(2, 24, 8, 12), random(2, 40, 4, 6)]
    styles = [channel_statistics(5 + 2 * random(*one.shape, seed=2)) for one in maps]
    adapted = network.adapted(maps, network.style_of(styles))
    assert [one.shape for one in adapted] == [one.shape for one in (maps if skip_connections else maps[-1:])]
    for own, style in zip(reversed(adapted), reversed(styles), strict=False):
        for found, wanted in zip(channel_statistics(own), style, strict=True):
            torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)


def test_features_are_adapted_by_hand():
    """Values 1, 3, 5, 7 of mean 4 and variance 5, to mean -1 and deviation 10: 10 (x - 4) / sqrt(5) - 1."""
    network, maps = generator(), [torch.zeros(1), torch.zeros(1), torch.zeros(1, 40, 2, 2)]
    maps[-1][0, 0] = torch.tensor([[1.0, 3.0], [5.0, 7.0]])
    style = torch.stack([torch.full((1, 40), -1.0), torch.full((1, 40), 10.0)], dim=1)
    (adapted,) = network.adapted(maps, style)
    unit = 10 / 5**0.5
    assert adapted[0, 0].flatten().tolist() == pytest.approx([-3 * unit - 1, -unit - 1, unit - 1, 3 * unit - 1], 1e-5)
    assert (adapted[0, 1] == -1).all(), "a channel without variance has the style's mean"
    (half,) = network.adapted(maps, style, 0.5)
    torch.testing.assert_close(half, (adapted + maps[-1]) / 2)
    (none,) = network.adapted(maps, style, 0.0)
    assert torch.equal(none, maps[-1])


def test_the_decoder_is_the_papers():
    """VGG-19's nine convolutions up to relu4_1, backwards: weights and biases counted by hand.

    512 to 256; three of 256 and 256 to 128; 128 and 128 to 64; 64 and 64 to 3.
    """
    pairs = [(512, 256), *[(256, 256)] * 3, (256, 128), (128, 128), (128, 64), (64, 64), (64, 3)]
    network = AdaINGenerator(vgg19())
    convolutions = [one for one in network.decoder.modules() if isinstance(one, torch.nn.Conv2d)]
    assert [(one.in_channels, one.out_channels) for one in convolutions] == pairs
    assert sum(one.numel() for one in network.decoder.parameters()) == sum(9 * a * b + b for a, b in pairs) == 3_505_219
    assert sum(one.numel() for one in network.encoder.parameters()) == 3_505_728


def test_a_decoder_is_given_finer_features_where_it_comes_to_their_resolution():
    torch.manual_seed(0)
    decoder = Decoder({1: 16, 2: 24, 3: 40}, width=2)
    firsts = [next(iter(stage)).in_channels for stage in decoder.stages]
    assert firsts == [40, 8 + 24, 4 + 16, 2]
    finer = random(1, 16, 8, 12).requires_grad_()
    image = decoder([finer, random(1, 24, 4, 6), random(1, 40, 2, 3)])
    assert image.shape == (1, 3, 16, 24)
    image.sum().backward()
    assert finer.grad.abs().sum() > 0


def test_it_keeps_sizes_and_refuses_others():
    network = generator()
    assert network(random(2, 3, 16, 40)).shape == (2, 3, 16, 40)
    for height, width in ((16, 20), (8, 16)):
        with pytest.raises(ValueError, match=rf"{width}x{height}; sides must divide by 8 and be at least 16. Pad"):
            network(random(1, 3, height, width))


def test_an_image_does_not_depend_on_its_batch():
    network, images = generator(skip_connections=True), random(2, 3, 16, 24)
    together = network(images)
    torch.testing.assert_close(together, torch.cat([network(one) for one in images.split(1)]), atol=1e-5, rtol=1e-4)


def test_what_is_remembered_is_the_mean_over_all_images():
    """Styles of 2, 4 and, in a batch of two, 6 and 12 in every place: means 2, 3 and 6."""
    network, means = generator(), []
    for values in ([2.0], [4.0], [6.0, 12.0]):
        network.remember(torch.tensor(values).view(-1, 1, 1).expand(-1, 2, 40))
        means.append(network.style.unique().tolist())
    assert means == [[2.0], [3.0], [6.0]] and network.remembered == 4


def test_a_long_training_forgets_its_first_images():
    """...as one that starts from another target's translator must: a thousandth of the way with each image."""
    network = generator()
    network.remember(torch.zeros(REMEMBERED, 2, 40))
    network.remember(torch.full((1, 2, 40), 10.0))
    assert network.style.unique().tolist() == pytest.approx([10 / REMEMBERED])
    network.remember(torch.full((2 * REMEMBERED, 2, 40), 7.0))
    assert network.style.unique().tolist() == [7.0]


def test_the_style_decides_the_image_and_its_strength_how_much():
    image = random(1, 3, 16, 24)
    bright = torch.ones(1, 2, 40) * torch.tensor([3.0, 2.0]).view(1, 2, 1)
    seen = {}
    for strength in (0.0, 1.0):
        network = generator(strength=strength)
        seen[strength, "plain"] = network(image)
        network.remember(bright)
        seen[strength, "bright"] = network(image)
    assert torch.equal(seen[0.0, "plain"], seen[0.0, "bright"])
    assert not torch.allclose(seen[1.0, "plain"], seen[1.0, "bright"])
