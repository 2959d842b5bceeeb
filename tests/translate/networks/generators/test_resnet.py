"""The ResNet generator against figures measured on the authors' own code."""

import pytest
import torch
from torch import nn

from tests.translate.networks.generators.generator_tester import GeneratorTester
from tests.translate.networks.receptive_field import receptive_field
from translate.networks import GENERATORS
from translate.networks.generators.resnet import ResnetGenerator


class TestResnet9(GeneratorTester):
    name = "resnet9"
    parameters = 11_378_179
    tensors = 48

    def test_names_are_those_of_published_checkpoints(self):
        plain = [1, 4, 7, 19, 22, 26]
        expected = {f"model.{layer}.{kind}" for layer in plain for kind in ("weight", "bias")}
        expected |= {
            f"model.{block}.conv_block.{layer}.{kind}"
            for block in range(10, 19)
            for layer in (1, 5)
            for kind in ("weight", "bias")
        }
        assert set(self.tiny().state_dict()) == expected

    def test_shapes_are_those_of_published_checkpoints(self):
        with torch.device("meta"):
            shapes = {key: tuple(tensor.shape) for key, tensor in ResnetGenerator().state_dict().items()}
        assert shapes["model.1.weight"] == (64, 3, 7, 7)
        assert shapes["model.10.conv_block.1.weight"] == (256, 256, 3, 3)
        assert shapes["model.19.weight"] == (256, 128, 3, 3)  # transposed: (in, out, 3, 3)
        assert shapes["model.26.weight"] == (3, 64, 7, 7)


class TestResnet6(GeneratorTester):
    name = "resnet6"
    parameters = 7_837_699
    tensors = 36

    def test_names_are_those_of_published_checkpoints(self):
        names = set(self.tiny().state_dict())
        assert {"model.10.conv_block.1.weight", "model.15.conv_block.5.bias", "model.16.weight"} <= names
        assert {"model.19.bias", "model.23.weight"} <= names


class TestResnet9WithBatchNorm(GeneratorTester):
    name = "resnet9"
    settings = {"norm": "batch"}  # noqa: RUF012
    parameters = 11_383_427
    tensors = 140
    depends_on_batch = True

    def test_convolutions_leave_the_bias_to_the_norms(self):
        names = set(self.tiny().state_dict())
        assert "model.1.bias" not in names and "model.26.bias" in names
        assert {"model.2.running_mean", "model.10.conv_block.2.weight", "model.20.num_batches_tracked"} <= names


class TestAntialiasedResnet9(GeneratorTester):
    name = "resnet9"
    settings = {"antialias": True}  # noqa: RUF012
    parameters = 11_378_179
    tensors = 52

    def test_names_are_those_of_published_checkpoints(self):
        names = set(self.tiny().state_dict())
        assert {f"model.{layer}.filt" for layer in (7, 11, 21, 25)} <= names
        assert {"model.8.weight", "model.12.conv_block.1.weight", "model.20.conv_block.5.bias"} <= names
        assert {"model.22.weight", "model.26.weight", "model.30.bias"} <= names


def test_dropout_moves_the_second_convolution():
    names = set(GENERATORS["resnet9"](base_channels=1, dropout=True).state_dict())
    assert "model.10.conv_block.6.weight" in names and "model.10.conv_block.5.weight" not in names
    assert len(names) == 48


@pytest.mark.parametrize("antialias", [False, True])
def test_features_are_what_the_layers_put_out(antialias):
    torch.manual_seed(0)
    generator = GENERATORS["resnet6"](base_channels=2, antialias=antialias)
    image, layers = torch.rand(1, 3, 16, 16), (0, 2, 4, 8, 12)
    found = generator.features(image, layers)
    for place, features in zip(layers, found, strict=True):
        expected = image
        for layer in generator.model[: place + 1]:
            expected = layer(expected.clone())
        assert torch.equal(features, expected)
    assert torch.equal(found[0], nn.functional.pad(image, (3, 3, 3, 3), mode="reflect"))


def test_features_stop_at_the_last_wanted_layer():
    generator = GENERATORS["resnet6"](base_channels=2)
    generator.model[5].register_forward_hook(lambda *_: pytest.fail("layer 5 is beyond layer 4"))
    assert len(generator.features(torch.rand(1, 3, 16, 16), [1, 4])) == 2


@pytest.mark.parametrize("layers", [[], [-1], [0, 25]])
def test_refuses_layers_that_there_are_not(layers):
    with pytest.raises(ValueError, match=r"expected positions from 0 to 24"):
        GENERATORS["resnet6"](base_channels=1).features(torch.zeros(1, 3, 16, 16), layers)


@pytest.mark.parametrize(("name", "expected"), [("resnet6", 117), ("resnet9", 165)])
def test_receptive_field(name, expected):
    assert receptive_field(GENERATORS[name](base_channels=1), side=224) == expected


@pytest.mark.parametrize(("name", "expected"), [("resnet6", 121), ("resnet9", 169)])
def test_one_column_in_four_sees_four_pixels_more(name, expected):
    """The doublings give each pixel of a 4x4 cell its own field; who cuts tiles must reckon with the widest."""
    assert receptive_field(GENERATORS[name](base_channels=1), side=224, outputs=4) == expected


def test_starts_with_small_gaussian_weights_and_no_bias():
    torch.manual_seed(0)
    for layer in ResnetGenerator(blocks=6, base_channels=16).modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            # 4 standard errors of a deviation measured on n draws: 4 * 0.02 / sqrt(2n).
            tolerance = 4 * 0.02 / (2 * layer.weight.numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(0.02, abs=tolerance)
            assert torch.count_nonzero(layer.bias) == 0


def test_normalises_without_learned_or_running_statistics():
    norms = [layer for layer in ResnetGenerator(base_channels=1).modules() if isinstance(layer, nn.InstanceNorm2d)]
    assert len(norms) == 5 + 2 * 9
    assert not any(norm.affine or norm.track_running_stats for norm in norms)
