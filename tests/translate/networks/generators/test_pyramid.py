"""The pyramid generator: bands that add up, a start that changes nothing, figures worked out by hand."""

import pytest
import torch
from torch import nn

from tests.translate.networks.generators.generator_tester import GeneratorTester
from tests.translate.networks.generators.multiply_adds import multiply_adds
from translate.networks.generators.pyramid import PyramidGenerator, grown, split_bands
from translate.tiling import translate_tiled


class PyramidTester(GeneratorTester):
    name = "pyramid"

    def test_takes_and_gives_other_channels(self):
        """As many go out as come in, for the bands are kept."""
        generator = PyramidGenerator(base_channels=4, channels=1, **self.settings)
        assert generator(torch.zeros(1, 1, 16, 16)).shape == (1, 1, 16, 16)


class TestPyramid(PyramidTester):
    # Lowest band: 448 + 9280 + 10 * 36928 + 9232 + 435; first mask: 5248 + 6 * 36928 + 1731; two finer ones of 115.
    parameters = 388_675 + 228_547 + 230
    tensors = 2 * 14 + 2 * 8 + 2 * 4


class TestPyramidWithBatchNorm(PyramidTester):
    settings = {"norm": "batch"}  # noqa: RUF012
    parameters = 617_452 - 16 + 32
    tensors = 52 - 1 + 5
    depends_on_batch = True


def test_bands_by_hand():
    """Means of 2x2: 1 and 3 side by side. Grown, columns are 1, 1.5, 2.5, 3; the band is what is missing to those."""
    image = torch.tensor([[0.0, 2.0, 3.0, 3.0], [0.0, 2.0, 3.0, 3.0]])[None, None]
    (octave,), lowest = split_bands(image, 1)
    assert lowest.tolist() == [[[[1.0, 3.0]]]]
    assert octave[0, 0].tolist() == [[-1.0, 0.5, 0.5, 0.0]] * 2
    assert torch.equal(grown(lowest) + octave, image)


def test_a_generator_that_changes_nothing_gives_back_the_image():
    generator = PyramidGenerator(base_channels=4).eval()
    for network in (generator.low, generator.mask):
        nn.init.zeros_(network[-1].weight)
    for finer in generator.finer_masks:
        nn.init.zeros_(finer[-1].weight)
    image = torch.rand(2, 3, 24, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(generator(image), image)


def test_masks_multiply_the_octaves():
    """A first mask of 0.5 everywhere, which finer ones leave as it is, makes all octaves 1.5 times as strong."""
    generator = PyramidGenerator(base_channels=4, bands=2).eval()
    for layer in (generator.low[-1], generator.mask[-1], generator.finer_masks[0][-1]):
        nn.init.zeros_(layer.weight)
    nn.init.constant_(generator.mask[-1].bias, 0.5)
    image = 0.2 * torch.rand(1, 3, 16, 16)
    (finest, coarser), lowest = split_bands(image, 2)
    expected = grown(grown(lowest) + 1.5 * coarser) + 1.5 * finest
    with torch.no_grad():
        torch.testing.assert_close(generator(image), expected)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_what_went_beyond_the_range_finds_its_way_back_and_no_further(side):
    generator = PyramidGenerator(base_channels=4)
    bias = generator.low[-1].bias
    nn.init.constant_(bias, 5.0 * side)
    translated = generator(torch.zeros(1, 3, 16, 16))
    assert torch.equal(translated, torch.full_like(translated, side))
    # Descent leads back. Each of the 4 lowest pixels is spread over 64: every pixel counts once.
    (back,) = torch.autograd.grad((side * translated).sum(), bias, retain_graph=True)
    assert back.tolist() == pytest.approx([256.0 * side] * 3, rel=1e-3)
    (further,) = torch.autograd.grad((-side * translated).sum(), bias)
    assert further.tolist() == [0.0] * 3


def test_multiply_adds():
    """A pixel's share at 64 channels: the lowest band at a 64th, the first mask at a 16th, the finer ones."""
    low = 9 * (3 * 16 + 16 * 64 + 10 * 64 * 64 + 64 * 16 + 16 * 3) / 64
    mask = 9 * (9 * 64 + 6 * 64 * 64 + 64 * 3) / 16
    finer = 96 / 4 + 96
    assert low + mask + finer == 20_437.5
    with torch.device("meta"):
        assert multiply_adds(PyramidGenerator(), torch.empty(1, 3, 64, 64)) == 20_437.5 * 64 * 64


def test_features_are_those_that_translation_passes():
    generator, image = PyramidGenerator(base_channels=8), torch.rand(1, 3, 16, 24)
    layers = generator.compared_layers()
    assert layers == {0: 3, 3: 2, 5: 8, 6: 8, 10: 8}
    translated, passed = generator.with_features(image, tuple(layers))
    assert torch.equal(translated, generator(image))
    alone = generator.features(image, tuple(layers))
    assert [one.shape[1] for one in alone] == list(layers.values())
    assert all(torch.equal(a, b) for a, b in zip(passed, alone, strict=True))


@pytest.mark.parametrize("layers", [[], [-1], [0, 14]])
def test_refuses_layers_that_there_are_not(layers):
    with pytest.raises(ValueError, match=r"expected positions from 0 to 13"):
        PyramidGenerator(base_channels=4).features(torch.zeros(1, 3, 16, 16), layers)


def test_refuses_a_pyramid_of_nothing():
    with pytest.raises(ValueError, match="at least 1 of each: bands 0"):
        PyramidGenerator(bands=0)


def test_tiles_do_not_show():
    torch.manual_seed(0)
    generator = PyramidGenerator(base_channels=4, blocks=1, mask_blocks=1).eval()
    image = torch.rand(1, 3, 64, 320) * 2 - 1
    with torch.no_grad():
        expected = generator(image)
    assert (translate_tiled(generator, image, 64) - expected).abs().max() < 1e-4
