"""HyPER-GAN's generator against its published names and figures worked out by hand."""

import pytest
import torch
from torch import nn

from tests.translate.networks.generators.generator_tester import GeneratorTester
from tests.translate.networks.generators.multiply_adds import multiply_adds
from tests.translate.networks.receptive_field import receptive_field
from translate.networks import GENERATORS
from translate.networks.generators.unet_light import UnetLightGenerator
from translate.tiling import translate_tiled


class TestUnetLight(GeneratorTester):
    name = "unet_light"
    # 3136 + 131200 + 524544 down, 8 * 590080 in the middle, 524416 + 262208 + 6147 up.
    parameters = 6_172_291
    tensors = 28


class TestUnetLightWithBatchNorm(GeneratorTester):
    name = "unet_light"
    settings = {"norm": "batch"}  # noqa: RUF012
    # 12 convolutions lose their bias and gain two numbers a channel: 128 + 256 + 8 * 256 + 128 + 64 channels.
    parameters = 6_172_291 + 2_624
    tensors = 28 - 12 + 12 * 5
    depends_on_batch = True


def test_names_and_shapes_are_those_of_the_published_files():
    with torch.device("meta"):
        shapes = {key: tuple(tensor.shape) for key, tensor in UnetLightGenerator().state_dict().items()}
    middle = {}
    for block in range(4):
        for place in (0, 3):
            middle |= {f"middle.{block}.block.{place}.weight": (256, 256, 3, 3)}
            middle |= {f"middle.{block}.block.{place}.bias": (256,)}
    assert shapes == {
        "enc1.0.weight": (64, 3, 4, 4), "enc1.0.bias": (64,),
        "enc2.0.weight": (128, 64, 4, 4), "enc2.0.bias": (128,),
        "enc3.0.weight": (256, 128, 4, 4), "enc3.0.bias": (256,),
        **middle,
        "dec3.0.weight": (256, 128, 4, 4), "dec3.0.bias": (128,),  # transposed: (in, out, 4, 4)
        "dec2.0.weight": (256, 64, 4, 4), "dec2.0.bias": (64,),
        "dec1.0.weight": (128, 3, 4, 4), "dec1.0.bias": (3,),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("channels", "a_pixel"),
    [
        # 4x4 kernels at half, a quarter, an eighth of the sides; eight 3x3 of the widest; and up again.
        (64, 768 + 8192 + 8192 + 8 * 9 * 256 * 256 / 64 + 8192 + 16384 + 1536),
        (32, 384 + 2048 + 2048 + 8 * 9 * 128 * 128 / 64 + 2048 + 4096 + 768),
    ],
)
def test_multiply_adds(channels, a_pixel):
    assert a_pixel in (116_992, 29_824)
    with torch.device("meta"):
        counted = multiply_adds(UnetLightGenerator(base_channels=channels), torch.empty(1, 3, 64, 64))
    assert counted == a_pixel * 64 * 64


def test_a_resnet_needs_six_times_as_many():
    with torch.device("meta"):
        image = torch.empty(1, 3, 64, 64)
        resnet = multiply_adds(GENERATORS["resnet9"](), image)
        assert 6.4 < resnet / multiply_adds(UnetLightGenerator(), image) < 6.5


def test_receptive_field():
    """From one output back: 1 pixel of a 4x4 upsampling needs 2, then 3, 3 at an eighth; 2 * 8 more for the blocks: 19;
    4x4 kernels of stride 2 make 40, 82, 166 of it. One output in eight sees the most.
    """
    assert receptive_field(UnetLightGenerator(base_channels=1), side=256, outputs=8) == 166


def test_the_shortcuts_carry_the_halvings():
    generator = UnetLightGenerator(base_channels=2).eval()
    for layer in generator.middle:
        nn.init.zeros_(layer.block[3].weight)
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        halved = generator.features(image, (1, 2, 3, 7))
        assert torch.equal(halved[3], halved[2])  # blocks that add nothing
        upper = torch.cat([generator.dec3(halved[2]), halved[1]], 1)
        expected = generator.dec1(torch.cat([generator.dec2(upper), halved[0]], 1))
        assert torch.equal(generator(image), expected)


def test_features_are_those_that_translation_passes():
    generator, image = UnetLightGenerator(base_channels=2), torch.rand(1, 3, 16, 24)
    layers = generator.compared_layers()
    assert layers == {0: 3, 1: 2, 2: 4, 4: 8, 7: 8}
    translated, passed = generator.with_features(image, tuple(layers))
    assert torch.equal(translated, generator(image))
    alone = generator.features(image, tuple(layers))
    assert [one.shape[1] for one in alone] == list(layers.values())
    assert all(torch.equal(a, b) for a, b in zip(passed, alone, strict=True))
    assert torch.equal(alone[0], image)


@pytest.mark.parametrize("layers", [[], [-1], [0, 8]])
def test_refuses_layers_that_there_are_not(layers):
    with pytest.raises(ValueError, match=r"expected positions from 0 to 7"):
        UnetLightGenerator(base_channels=1).features(torch.zeros(1, 3, 16, 16), layers)


def test_tiles_do_not_show():
    torch.manual_seed(0)
    generator = UnetLightGenerator(base_channels=2).eval()
    image = torch.rand(1, 3, 64, 264) * 2 - 1
    with torch.no_grad():
        expected = generator(image)
    assert (translate_tiled(generator, image, 64) - expected).abs().max() < 1e-4
